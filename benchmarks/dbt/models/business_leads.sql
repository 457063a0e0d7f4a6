{{ config(indexes=[{'columns': ['lead_id'], 'unique': true}, {'columns': ['customer_global_id']}]) }}
WITH member AS (
    SELECT
        customer_global_id, ordered_at, system_order_type, amount, currency,
        first_value(currency) OVER (PARTITION BY customer_global_id ORDER BY ordered_at NULLS LAST, order_id)
            AS lead_currency
    FROM {{ source('loaded', 'orders') }}
    WHERE NOT is_cancelled AND customer_global_id IS NOT NULL
)
SELECT
    md5('lead ' || customer_global_id || ':0')::uuid AS lead_id,
    customer_global_id,
    0 AS lead_no,
    'OPEN'::text AS current_stage,
    now() AS opened_at,
    NULL::timestamptz AS reopened_at,
    0 AS reopen_count,
    min(ordered_at) AS first_order_at,
    max(ordered_at) AS last_order_at,
    count(*)::int AS order_count,
    coalesce(sum(amount) FILTER (WHERE is_own), 0)::numeric(38, 4) AS total_amount,
    (count(*) FILTER (WHERE system_order_type = 'SAMPLE'))::int AS sample_count,
    coalesce(sum(amount) FILTER (WHERE is_own AND system_order_type = 'SAMPLE'), 0)::numeric(38, 4) AS sample_amount,
    (count(*) FILTER (WHERE system_order_type = 'PROOF'))::int AS proof_count,
    coalesce(sum(amount) FILTER (WHERE is_own AND system_order_type = 'PROOF'), 0)::numeric(38, 4) AS proof_amount,
    (count(*) FILTER (WHERE system_order_type = 'BULK'))::int AS bulk_count,
    coalesce(sum(amount) FILTER (WHERE is_own AND system_order_type = 'BULK'), 0)::numeric(38, 4) AS bulk_amount,
    min(lead_currency) AS currency,
    (count(*) FILTER (WHERE NOT is_own))::int AS other_currency_count,
    now() AS created_at,
    now() AS updated_at
FROM (SELECT *, currency IS NOT DISTINCT FROM lead_currency AS is_own FROM member) m
GROUP BY customer_global_id
