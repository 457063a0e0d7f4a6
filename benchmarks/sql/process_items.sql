-- The processes of the items of orders that this run inserted (plainly) or updated (as a set). Order-level
-- processes do not occur in the generated data, except unreadable ones; those orders have no processes at all.
INSERT INTO quarantine (asset, raw_id, reason_code, "row")
SELECT 'process_items', r.raw_id, 'BAD_PROCESSES', to_jsonb(r)
FROM orders o JOIN raw_orders r USING (raw_id)
WHERE o.raw_id > {last_raw_id} AND r.processes IS NOT JSON ARRAY;

INSERT INTO process_items (
    shop_id, order_id, line_no, process_no, process_type, "position", picture_count, quantity, picture_print_quantity
)
SELECT
    o.shop_id,
    o.order_id,
    i.line_no,
    p.process_no,
    nullif(btrim(p.process ->> 'process'), ''),
    nullif(btrim(p.process ->> 'position'), ''),
    p.pictures,
    i.quantity,
    i.quantity::bigint * p.pictures
FROM orders o
JOIN raw_orders r USING (raw_id)
CROSS JOIN LATERAL (
    SELECT line_no, coalesce((item ->> 'quantity')::int, 1) AS quantity, item -> 'processes' AS processes
    FROM jsonb_array_elements(CASE WHEN r.items IS JSON ARRAY THEN r.items::jsonb END) WITH ORDINALITY e (item, line_no)
) i
CROSS JOIN LATERAL (
    SELECT process_no, process, coalesce((process ->> 'pictures')::int, 1) AS pictures
    FROM jsonb_array_elements(i.processes) WITH ORDINALITY e (process, process_no)
) p
WHERE o.raw_id > {last_raw_id} AND o.updated_at = o.created_at
    AND (r.processes IS NULL OR r.processes IS JSON ARRAY);

CREATE TEMPORARY TABLE replaced ON COMMIT DROP AS
SELECT
    o.shop_id,
    o.order_id,
    i.line_no::int,
    p.process_no::int,
    nullif(btrim(p.process ->> 'process'), '') AS process_type,
    nullif(btrim(p.process ->> 'position'), '') AS "position",
    p.pictures AS picture_count,
    i.quantity,
    i.quantity::bigint * p.pictures AS picture_print_quantity
FROM orders o
JOIN raw_orders r USING (raw_id)
LEFT JOIN LATERAL (
    SELECT line_no, coalesce((item ->> 'quantity')::int, 1) AS quantity, item -> 'processes' AS processes
    FROM jsonb_array_elements(
        CASE WHEN r.items IS JSON ARRAY AND (r.processes IS NULL OR r.processes IS JSON ARRAY) THEN r.items::jsonb END
    ) WITH ORDINALITY e (item, line_no)
) i ON true
LEFT JOIN LATERAL (
    SELECT process_no, process, coalesce((process ->> 'pictures')::int, 1) AS pictures
    FROM jsonb_array_elements(i.processes) WITH ORDINALITY e (process, process_no)
) p ON true
WHERE o.raw_id > {last_raw_id} AND o.updated_at > o.created_at;

INSERT INTO process_items AS t (
    shop_id, order_id, line_no, process_no, process_type, "position", picture_count, quantity, picture_print_quantity
)
SELECT * FROM replaced WHERE process_no IS NOT NULL
ON CONFLICT (shop_id, order_id, line_no, process_no) DO UPDATE SET
    process_type = excluded.process_type, "position" = excluded."position", picture_count = excluded.picture_count,
    quantity = excluded.quantity, picture_print_quantity = excluded.picture_print_quantity
WHERE (t.process_type, t."position", t.picture_count, t.quantity)
    IS DISTINCT FROM (excluded.process_type, excluded."position", excluded.picture_count, excluded.quantity);

DELETE FROM process_items t
USING (SELECT DISTINCT shop_id, order_id FROM replaced) n
WHERE t.shop_id = n.shop_id AND t.order_id = n.order_id AND NOT EXISTS (
    SELECT FROM replaced r
    WHERE r.shop_id = t.shop_id AND r.order_id = t.order_id AND r.line_no = t.line_no AND r.process_no = t.process_no
);
