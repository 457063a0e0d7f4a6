-- The lines of the orders that this run inserted (plainly) or updated (as a set).
INSERT INTO quarantine (asset, raw_id, reason_code, "row")
SELECT 'order_items', r.raw_id, 'BAD_ITEMS', to_jsonb(r)
FROM orders o JOIN raw_orders r USING (raw_id)
WHERE o.raw_id > {last_raw_id} AND r.items IS NOT JSON ARRAY;

INSERT INTO order_items (shop_id, order_id, line_no, product, variant, sku, quantity, unit_price)
SELECT
    o.shop_id,
    o.order_id,
    i.line_no,
    nullif(btrim(i.item ->> 'name'), ''),
    nullif(btrim(i.item ->> 'variant'), ''),
    nullif(btrim(i.item ->> 'sku'), ''),
    coalesce((i.item ->> 'quantity')::int, 1),
    (i.item ->> 'unit_price')::numeric(18, 4)
FROM orders o
JOIN raw_orders r USING (raw_id)
CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN r.items IS JSON ARRAY THEN r.items::jsonb END)
    WITH ORDINALITY i (item, line_no)
WHERE o.raw_id > {last_raw_id} AND o.updated_at = o.created_at;

CREATE TEMPORARY TABLE replaced ON COMMIT DROP AS
SELECT
    o.shop_id,
    o.order_id,
    i.line_no::int,
    nullif(btrim(i.item ->> 'name'), '') AS product,
    nullif(btrim(i.item ->> 'variant'), '') AS variant,
    nullif(btrim(i.item ->> 'sku'), '') AS sku,
    coalesce((i.item ->> 'quantity')::int, 1) AS quantity,
    (i.item ->> 'unit_price')::numeric(18, 4) AS unit_price
FROM orders o
JOIN raw_orders r USING (raw_id)
LEFT JOIN LATERAL jsonb_array_elements(CASE WHEN r.items IS JSON ARRAY THEN r.items::jsonb END)
    WITH ORDINALITY i (item, line_no) ON true
WHERE o.raw_id > {last_raw_id} AND o.updated_at > o.created_at;

INSERT INTO order_items AS t (shop_id, order_id, line_no, product, variant, sku, quantity, unit_price)
SELECT * FROM replaced WHERE line_no IS NOT NULL
ON CONFLICT (shop_id, order_id, line_no) DO UPDATE SET
    product = excluded.product, variant = excluded.variant, sku = excluded.sku, quantity = excluded.quantity,
    unit_price = excluded.unit_price
WHERE (t.product, t.variant, t.sku, t.quantity, t.unit_price)
    IS DISTINCT FROM (excluded.product, excluded.variant, excluded.sku, excluded.quantity, excluded.unit_price);

DELETE FROM order_items t
USING (SELECT shop_id, order_id, count(line_no) AS lines FROM replaced GROUP BY shop_id, order_id) n
WHERE t.shop_id = n.shop_id AND t.order_id = n.order_id AND t.line_no > n.lines;
