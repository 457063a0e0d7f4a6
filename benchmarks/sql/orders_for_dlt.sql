SELECT
    s.shop_id,
    btrim(r.order_id) AS order_id,
    c.nickname AS customer_nickname,
    md5(
        'customer ' || replace(replace(s.platform, '\', '\\'), ':', '\:') || ':'
        || replace(replace(s.shop_name, '\', '\\'), ':', '\:') || ':'
        || replace(replace(c.nickname, '\', '\\'), ':', '\:')
    )::uuid AS customer_global_id,
    nullif(btrim(r.order_status), '') AS latest_status,
    coalesce(lower(btrim(r.order_status)) IN ('cancelled', 'canceled', '交易关闭', '已取消'), false) AS is_cancelled,
    nullif(btrim(r.order_type), '') AS order_type,
    coalesce(m.system_order_type, 'BULK') AS system_order_type,
    nullif(btrim(r.amount), '') AS amount,
    nullif(upper(btrim(r.currency)), '') AS currency,
    nullif(r.ordered_at, '')::timestamptz AS ordered_at,
    nullif(r.updated_at, '')::timestamptz AS source_updated_at,
    r.raw_id
FROM etl.raw_orders r
JOIN dlt_dbt.shop_configs s ON s.platform = btrim(r.platform) AND s.shop_name = btrim(r.shop)
LEFT JOIN etl.order_type_mappings m ON lower(btrim(m.raw_order_type)) = lower(btrim(r.order_type))
CROSS JOIN LATERAL (
    SELECT CASE WHEN strpos(r.customer_name, '*') = 0 THEN nullif(btrim(r.customer_name), '') END AS nickname
) c
WHERE btrim(r.order_id) <> ''
    AND (coalesce(btrim(r.amount), '') = '' OR pg_input_is_valid(r.amount, 'numeric(18,4)'))
    AND (coalesce(btrim(r.ordered_at), '') = '' OR pg_input_is_valid(r.ordered_at, 'timestamptz'))
    AND (coalesce(btrim(r.updated_at), '') = '' OR pg_input_is_valid(r.updated_at, 'timestamptz'))
