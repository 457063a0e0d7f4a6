-- Orders that no longer belong to their lead are detached; unattached orders are attached to their customer's active lead or
-- create one; existing leads concerned get the figures of all their orders; a lead without orders is withdrawn.
CREATE TEMPORARY TABLE concerned (lead_id uuid) ON COMMIT DROP;

WITH detached AS (
    DELETE FROM lead_orders a
    USING orders o, business_leads l
    WHERE o.raw_id > {last_raw_id} AND o.updated_at > o.created_at
        AND a.shop_id = o.shop_id AND a.order_id = o.order_id AND l.lead_id = a.lead_id
        AND (o.is_cancelled OR o.customer_global_id IS DISTINCT FROM l.customer_global_id)
    RETURNING a.lead_id
)
INSERT INTO concerned SELECT lead_id FROM detached;

INSERT INTO concerned
SELECT a.lead_id
FROM orders o JOIN lead_orders a USING (shop_id, order_id)
WHERE o.raw_id > {last_raw_id} AND o.updated_at > o.created_at;

CREATE TEMPORARY TABLE free ON COMMIT DROP AS
SELECT
    o.shop_id, o.order_id, o.customer_global_id, o.ordered_at, o.system_order_type, o.amount, o.currency,
    l.lead_id, l.current_stage,
    row_number() OVER first_to_last AS place,
    first_value(o.currency) OVER first_to_last AS lead_currency
FROM orders o
LEFT JOIN business_leads l ON l.customer_global_id = o.customer_global_id AND l.current_stage IN ('OPEN', 'COLD')
WHERE o.raw_id > {last_raw_id} AND NOT o.is_cancelled AND o.customer_global_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM lead_orders a WHERE a.shop_id = o.shop_id AND a.order_id = o.order_id)
WINDOW first_to_last AS (PARTITION BY o.customer_global_id ORDER BY o.ordered_at NULLS LAST, o.order_id);

INSERT INTO concerned SELECT lead_id FROM free WHERE lead_id IS NOT NULL;

WITH counted AS (
    SELECT
        customer_global_id,
        min(ordered_at) AS first_order_at,
        max(ordered_at) AS last_order_at,
        count(*) AS order_count,
        coalesce(sum(amount) FILTER (WHERE is_own), 0) AS total_amount,
        count(*) FILTER (WHERE system_order_type = 'SAMPLE') AS sample_count,
        coalesce(sum(amount) FILTER (WHERE is_own AND system_order_type = 'SAMPLE'), 0) AS sample_amount,
        count(*) FILTER (WHERE system_order_type = 'PROOF') AS proof_count,
        coalesce(sum(amount) FILTER (WHERE is_own AND system_order_type = 'PROOF'), 0) AS proof_amount,
        count(*) FILTER (WHERE system_order_type = 'BULK') AS bulk_count,
        coalesce(sum(amount) FILTER (WHERE is_own AND system_order_type = 'BULK'), 0) AS bulk_amount,
        min(lead_currency) AS currency,
        count(*) FILTER (WHERE NOT is_own) AS other_currency_count
    FROM (SELECT *, currency IS NOT DISTINCT FROM lead_currency AS is_own FROM free WHERE lead_id IS NULL) f
    GROUP BY customer_global_id
)
INSERT INTO business_leads (
    lead_id, customer_global_id, lead_no, current_stage, opened_at, first_order_at, last_order_at, order_count,
    total_amount, sample_count, sample_amount, proof_count, proof_amount, bulk_count, bulk_amount, currency,
    other_currency_count
)
SELECT
    md5('lead ' || c.customer_global_id || ':' || had.leads)::uuid, c.customer_global_id, had.leads, 'OPEN', now(),
    c.first_order_at, c.last_order_at, c.order_count, c.total_amount, c.sample_count, c.sample_amount, c.proof_count,
    c.proof_amount, c.bulk_count, c.bulk_amount, c.currency, c.other_currency_count
FROM counted c
CROSS JOIN LATERAL (
    SELECT coalesce(greatest(count(*), max(lead_no) + 1), 0) AS leads
    FROM business_leads l WHERE l.customer_global_id = c.customer_global_id
) had;

UPDATE business_leads SET
    current_stage = 'OPEN', reopened_at = now(), reopen_count = reopen_count + 1, updated_at = now()
WHERE lead_id IN (SELECT lead_id FROM free WHERE current_stage = 'COLD');

INSERT INTO lead_orders (shop_id, order_id, lead_id, strategy)
SELECT
    f.shop_id,
    f.order_id,
    l.lead_id,
    CASE WHEN f.lead_id IS NULL AND f.place = 1 THEN 'new' ELSE 'reuse' END
FROM free f
JOIN business_leads l ON l.customer_global_id = f.customer_global_id AND l.current_stage IN ('OPEN', 'COLD');

WITH member AS (
    SELECT
        c.lead_id, o.ordered_at, o.system_order_type, o.amount, o.currency,
        first_value(o.currency) OVER (PARTITION BY c.lead_id ORDER BY o.ordered_at NULLS LAST, o.order_id)
            AS lead_currency
    FROM (SELECT DISTINCT lead_id FROM concerned) c
    LEFT JOIN (lead_orders a JOIN orders o USING (shop_id, order_id)) ON a.lead_id = c.lead_id
), counted AS (
    SELECT
        lead_id,
        min(ordered_at) AS first_order_at,
        max(ordered_at) AS last_order_at,
        count(system_order_type) AS order_count,
        coalesce(sum(amount) FILTER (WHERE is_own), 0) AS total_amount,
        count(*) FILTER (WHERE system_order_type = 'SAMPLE') AS sample_count,
        coalesce(sum(amount) FILTER (WHERE is_own AND system_order_type = 'SAMPLE'), 0) AS sample_amount,
        count(*) FILTER (WHERE system_order_type = 'PROOF') AS proof_count,
        coalesce(sum(amount) FILTER (WHERE is_own AND system_order_type = 'PROOF'), 0) AS proof_amount,
        count(*) FILTER (WHERE system_order_type = 'BULK') AS bulk_count,
        coalesce(sum(amount) FILTER (WHERE is_own AND system_order_type = 'BULK'), 0) AS bulk_amount,
        min(lead_currency) AS currency,
        count(*) FILTER (WHERE NOT is_own) AS other_currency_count
    FROM (SELECT *, currency IS NOT DISTINCT FROM lead_currency AS is_own FROM member) m
    GROUP BY lead_id
)
UPDATE business_leads l SET
    first_order_at = c.first_order_at, last_order_at = c.last_order_at, order_count = c.order_count,
    total_amount = c.total_amount, sample_count = c.sample_count, sample_amount = c.sample_amount,
    proof_count = c.proof_count, proof_amount = c.proof_amount, bulk_count = c.bulk_count,
    bulk_amount = c.bulk_amount, currency = c.currency, other_currency_count = c.other_currency_count,
    updated_at = now()
FROM counted c
WHERE l.lead_id = c.lead_id
    AND (l.first_order_at, l.last_order_at, l.order_count, l.total_amount, l.sample_count, l.sample_amount,
         l.proof_count, l.proof_amount, l.bulk_count, l.bulk_amount, l.currency, l.other_currency_count)
    IS DISTINCT FROM
        (c.first_order_at, c.last_order_at, c.order_count, c.total_amount, c.sample_count, c.sample_amount,
         c.proof_count, c.proof_amount, c.bulk_count, c.bulk_amount, c.currency, c.other_currency_count);

DELETE FROM business_leads l
WHERE l.lead_id IN (SELECT lead_id FROM concerned) AND l.current_stage = 'OPEN' AND l.order_count = 0
    AND NOT EXISTS (
        SELECT FROM business_leads later
        WHERE later.customer_global_id = l.customer_global_id AND later.lead_no > l.lead_no
    );
