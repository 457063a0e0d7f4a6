{{ config(indexes=[{'columns': ['shop_id', 'order_id'], 'unique': true}, {'columns': ['lead_id']}]) }}
SELECT
    o.shop_id,
    o.order_id,
    md5('lead ' || o.customer_global_id || ':0')::uuid AS lead_id,
    CASE WHEN row_number() OVER first_to_last = 1 THEN 'new' ELSE 'reuse' END AS strategy,
    now() AS attached_at
FROM {{ source('loaded', 'orders') }} o
JOIN {{ ref('customers') }} c USING (customer_global_id)
WHERE NOT o.is_cancelled
WINDOW first_to_last AS (PARTITION BY o.customer_global_id ORDER BY o.ordered_at NULLS LAST, o.order_id)
