-- The newest version of each order. New orders are inserted without ON CONFLICT, which is faster if most are new;
-- then known orders are updated if a newer version differs. Rows that can't be read go to quarantine.
CREATE TEMPORARY TABLE read_rows ON COMMIT DROP AS
SELECT
    r.raw_id,
    s.shop_id,
    nullif(btrim(r.order_id), '') AS order_id,
    CASE WHEN strpos(r.customer_name, '*') = 0 THEN nullif(btrim(r.customer_name), '') END AS customer_nickname,
    s.platform,
    s.shop_name,
    nullif(btrim(r.order_status), '') AS latest_status,
    nullif(btrim(r.order_type), '') AS order_type,
    coalesce(m.system_order_type, 'BULK') AS system_order_type,
    CASE WHEN pg_input_is_valid(r.amount, 'numeric(18,4)') THEN r.amount::numeric(18, 4) END AS amount,
    nullif(upper(btrim(r.currency)), '') AS currency,
    CASE WHEN pg_input_is_valid(r.ordered_at, 'timestamptz') THEN r.ordered_at::timestamptz END AS ordered_at,
    CASE WHEN pg_input_is_valid(r.updated_at, 'timestamptz') THEN r.updated_at::timestamptz END AS source_updated_at,
    CASE
        WHEN s.shop_id IS NULL THEN 'MISSING_SHOP'
        WHEN coalesce(btrim(r.order_id), '') = '' THEN 'MISSING_ORDER_ID'
        WHEN btrim(r.amount) <> '' AND NOT pg_input_is_valid(r.amount, 'numeric(18,4)') THEN 'BAD_AMOUNT'
        WHEN btrim(r.ordered_at) <> '' AND NOT pg_input_is_valid(r.ordered_at, 'timestamptz')
            OR btrim(r.updated_at) <> '' AND NOT pg_input_is_valid(r.updated_at, 'timestamptz') THEN 'BAD_TIMESTAMP'
    END AS reason_code
FROM raw_orders r
LEFT JOIN shop_configs s ON s.platform = btrim(r.platform) AND s.shop_name = btrim(r.shop)
LEFT JOIN order_type_mappings m ON lower(btrim(m.raw_order_type)) = lower(btrim(r.order_type))
WHERE r.raw_id > {last_raw_id};
ANALYZE read_rows (shop_id, order_id);

INSERT INTO quarantine (asset, raw_id, reason_code, "row")
SELECT 'orders', x.raw_id, x.reason_code, to_jsonb(r)
FROM read_rows x JOIN raw_orders r USING (raw_id)
WHERE x.reason_code IS NOT NULL;

CREATE TEMPORARY VIEW newest AS
SELECT DISTINCT ON (shop_id, order_id)
    shop_id,
    order_id,
    customer_nickname,
    md5(
        'customer ' || replace(replace(platform, '\', '\\'), ':', '\:') || ':' || replace(replace(shop_name, '\', '\\'), ':', '\:')
        || ':' || replace(replace(customer_nickname, '\', '\\'), ':', '\:')
    )::uuid AS customer_global_id,
    latest_status,
    coalesce(lower(latest_status) IN ('cancelled', 'canceled', '交易关闭', '已取消'), false) AS is_cancelled,
    order_type,
    system_order_type,
    amount,
    currency,
    ordered_at,
    source_updated_at,
    raw_id
FROM read_rows
WHERE reason_code IS NULL
ORDER BY shop_id, order_id, source_updated_at DESC NULLS LAST, raw_id DESC;

CREATE TEMPORARY TABLE known ON COMMIT DROP AS
SELECT
    n.*,
    o.customer_global_id AS old_customer,
    o.raw_id AS old_raw_id,
    (coalesce(n.source_updated_at, '-infinity'), n.raw_id)
        > (coalesce(o.source_updated_at, '-infinity'), o.raw_id)
    AND (
        (o.customer_nickname, o.latest_status, o.order_type, o.system_order_type, o.amount, o.currency, o.ordered_at,
         o.source_updated_at)
        IS DISTINCT FROM (n.customer_nickname, n.latest_status, n.order_type, n.system_order_type, n.amount,
                          n.currency, n.ordered_at, n.source_updated_at)
        OR (SELECT (old.items, old.processes) IS DISTINCT FROM (new.items, new.processes)
            FROM raw_orders old, raw_orders new WHERE old.raw_id = o.raw_id AND new.raw_id = n.raw_id)
    ) AS is_changed
FROM newest n JOIN orders o USING (shop_id, order_id);

INSERT INTO order_moves (raw_id, customer_global_id)
SELECT raw_id, old_customer FROM known
WHERE is_changed AND old_customer IS NOT NULL AND old_customer IS DISTINCT FROM customer_global_id;

INSERT INTO orders (
    shop_id, order_id, customer_nickname, customer_global_id, latest_status, is_cancelled, order_type, system_order_type, amount,
    currency, ordered_at, source_updated_at, raw_id
)
SELECT * FROM newest n
WHERE NOT EXISTS (SELECT FROM known k WHERE k.shop_id = n.shop_id AND k.order_id = n.order_id);

UPDATE orders o SET
    customer_nickname = k.customer_nickname, customer_global_id = k.customer_global_id,
    latest_status = k.latest_status, is_cancelled = k.is_cancelled, order_type = k.order_type,
    system_order_type = k.system_order_type, amount = k.amount, currency = k.currency, ordered_at = k.ordered_at,
    source_updated_at = k.source_updated_at, raw_id = k.raw_id, updated_at = now()
FROM known k
WHERE k.is_changed AND o.shop_id = k.shop_id AND o.order_id = k.order_id;

DROP VIEW newest;
