{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='ignore', indexes=[
    {'columns': ['shop_id'], 'unique': true}, {'columns': ['platform', 'shop_name'], 'unique': true}]) }}
WITH named AS (
    SELECT btrim(platform) AS platform, btrim(shop) AS shop_name, min(upper(btrim(currency))) AS currency
    FROM {{ source('landed', 'raw_orders') }}
    WHERE btrim(platform) <> '' AND btrim(shop) <> ''
    GROUP BY 1, 2
)
SELECT
    {% if is_incremental() %}(SELECT coalesce(max(shop_id), 0) FROM {{ this }}) + {% endif %}
    (row_number() OVER (ORDER BY platform, shop_name))::int AS shop_id,
    platform, shop_name, currency, 'UTC'::text AS timezone, now() AS created_at
FROM named
{% if is_incremental() %}
WHERE (platform, shop_name) NOT IN (SELECT platform, shop_name FROM {{ this }})
{% endif %}
