{{ config(indexes=[{'columns': ['shop_id', 'order_id', 'line_no'], 'unique': true}]) }}
SELECT
    o.shop_id,
    o.order_id,
    i.line_no::int AS line_no,
    nullif(btrim(i.item ->> 'name'), '') AS product,
    nullif(btrim(i.item ->> 'variant'), '') AS variant,
    nullif(btrim(i.item ->> 'sku'), '') AS sku,
    coalesce((i.item ->> 'quantity')::int, 1) AS quantity,
    (i.item ->> 'unit_price')::numeric(18, 4) AS unit_price
FROM {{ source('loaded', 'orders') }} o
JOIN {{ source('landed', 'raw_orders') }} r USING (raw_id)
CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN r.items IS JSON ARRAY THEN r.items::jsonb END)
    WITH ORDINALITY i (item, line_no)
