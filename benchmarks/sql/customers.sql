-- The customers of the orders that this run changed, and those that an order has left, computed from all their orders.
CREATE TEMPORARY TABLE touched ON COMMIT DROP AS
SELECT customer_global_id FROM orders WHERE raw_id > {last_raw_id} AND customer_global_id IS NOT NULL
UNION
SELECT customer_global_id FROM order_moves WHERE raw_id > {last_raw_id};
ANALYZE touched;

INSERT INTO customers AS c (
    customer_global_id, customer_key, shop_id, customer_nickname, first_order_at, last_order_at, order_count
)
SELECT
    o.customer_global_id,
    replace(replace(s.platform, '\', '\\'), ':', '\:') || ':' || replace(replace(s.shop_name, '\', '\\'), ':', '\:')
        || ':' || replace(replace(o.customer_nickname, '\', '\\'), ':', '\:'),
    o.shop_id,
    o.customer_nickname,
    o.first_order_at,
    o.last_order_at,
    o.order_count
FROM (
    SELECT
        customer_global_id,
        min(shop_id) AS shop_id,
        min(customer_nickname) AS customer_nickname,
        min(ordered_at) FILTER (WHERE NOT is_cancelled) AS first_order_at,
        max(ordered_at) FILTER (WHERE NOT is_cancelled) AS last_order_at,
        count(*) FILTER (WHERE NOT is_cancelled) AS order_count
    FROM touched JOIN orders USING (customer_global_id)
    GROUP BY customer_global_id
) o
JOIN shop_configs s USING (shop_id)
ORDER BY o.customer_global_id
ON CONFLICT (customer_global_id) DO UPDATE SET
    first_order_at = excluded.first_order_at, last_order_at = excluded.last_order_at,
    order_count = excluded.order_count, updated_at = now()
WHERE (c.first_order_at, c.last_order_at, c.order_count)
    IS DISTINCT FROM (excluded.first_order_at, excluded.last_order_at, excluded.order_count);

DELETE FROM customers c
USING order_moves m
WHERE m.raw_id > {last_raw_id} AND c.customer_global_id = m.customer_global_id
    AND NOT EXISTS (SELECT FROM orders o WHERE o.customer_global_id = c.customer_global_id)
    AND NOT EXISTS (SELECT FROM business_leads l WHERE l.customer_global_id = c.customer_global_id);
