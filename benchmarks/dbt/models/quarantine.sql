{{ config(indexes=[{'columns': ['asset', 'raw_id', 'reason_code'], 'unique': true}]) }}
SELECT 'orders' AS asset, raw_id, CASE
    WHEN coalesce(btrim(platform), '') = '' OR coalesce(btrim(shop), '') = '' THEN 'MISSING_SHOP'
    WHEN coalesce(btrim(order_id), '') = '' THEN 'MISSING_ORDER_ID'
    WHEN btrim(amount) <> '' AND NOT pg_input_is_valid(amount, 'numeric(18,4)') THEN 'BAD_AMOUNT'
    ELSE 'BAD_TIMESTAMP' END AS reason_code, to_jsonb(r) AS "row"
FROM {{ source('landed', 'raw_orders') }} r
WHERE coalesce(btrim(platform), '') = '' OR coalesce(btrim(shop), '') = '' OR coalesce(btrim(order_id), '') = ''
    OR btrim(amount) <> '' AND NOT pg_input_is_valid(amount, 'numeric(18,4)')
    OR btrim(ordered_at) <> '' AND NOT pg_input_is_valid(ordered_at, 'timestamptz')
    OR btrim(updated_at) <> '' AND NOT pg_input_is_valid(updated_at, 'timestamptz')
UNION ALL
SELECT 'order_items', r.raw_id, 'BAD_ITEMS', to_jsonb(r)
FROM {{ source('loaded', 'orders') }} o JOIN {{ source('landed', 'raw_orders') }} r USING (raw_id)
WHERE r.items IS NOT JSON ARRAY
UNION ALL
SELECT 'process_items', r.raw_id, 'BAD_PROCESSES', to_jsonb(r)
FROM {{ source('loaded', 'orders') }} o JOIN {{ source('landed', 'raw_orders') }} r USING (raw_id)
WHERE r.processes IS NOT JSON ARRAY
