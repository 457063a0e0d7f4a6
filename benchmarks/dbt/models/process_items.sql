{{ config(indexes=[{'columns': ['shop_id', 'order_id', 'line_no', 'process_no'], 'unique': true}]) }}
SELECT
    o.shop_id,
    o.order_id,
    i.line_no::int AS line_no,
    p.process_no::int AS process_no,
    nullif(btrim(p.process ->> 'process'), '') AS process_type,
    nullif(btrim(p.process ->> 'position'), '') AS "position",
    p.pictures AS picture_count,
    i.quantity,
    i.quantity::bigint * p.pictures AS picture_print_quantity
FROM {{ source('loaded', 'orders') }} o
JOIN {{ source('landed', 'raw_orders') }} r USING (raw_id)
CROSS JOIN LATERAL (
    SELECT line_no, coalesce((item ->> 'quantity')::int, 1) AS quantity, item -> 'processes' AS processes
    FROM jsonb_array_elements(CASE WHEN r.items IS JSON ARRAY THEN r.items::jsonb END) WITH ORDINALITY e (item, line_no)
) i
CROSS JOIN LATERAL (
    SELECT process_no, process, coalesce((process ->> 'pictures')::int, 1) AS pictures
    FROM jsonb_array_elements(i.processes) WITH ORDINALITY e (process, process_no)
) p
WHERE r.processes IS NULL OR r.processes IS JSON ARRAY
