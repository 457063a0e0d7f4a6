{{ config(indexes=[{'columns': ['customer_global_id'], 'unique': true}, {'columns': ['customer_key'], 'unique': true}]) }}
SELECT
    o.customer_global_id,
    replace(replace(s.platform, '\', '\\'), ':', '\:') || ':' || replace(replace(s.shop_name, '\', '\\'), ':', '\:')
        || ':' || replace(replace(o.customer_nickname, '\', '\\'), ':', '\:') AS customer_key,
    o.shop_id,
    o.customer_nickname,
    o.first_order_at,
    o.last_order_at,
    o.order_count,
    now() AS created_at,
    now() AS updated_at
FROM (
    SELECT
        customer_global_id,
        min(shop_id) AS shop_id,
        min(customer_nickname) AS customer_nickname,
        min(ordered_at) FILTER (WHERE NOT is_cancelled) AS first_order_at,
        max(ordered_at) FILTER (WHERE NOT is_cancelled) AS last_order_at,
        (count(*) FILTER (WHERE NOT is_cancelled))::int AS order_count
    FROM {{ source('loaded', 'orders') }}
    WHERE customer_global_id IS NOT NULL
    GROUP BY customer_global_id
) o
JOIN {{ ref('shop_configs') }} s USING (shop_id)
