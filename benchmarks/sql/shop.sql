INSERT INTO shop_configs (platform, shop_name, currency, timezone)
SELECT btrim(platform), btrim(shop), min(upper(btrim(currency))), 'UTC'
FROM raw_orders
WHERE raw_id > {last_raw_id} AND btrim(platform) <> '' AND btrim(shop) <> ''
GROUP BY 1, 2
ORDER BY 1, 2
ON CONFLICT (platform, shop_name) DO NOTHING;
