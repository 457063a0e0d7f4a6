"""Health of the pipeline: what needs somebody, computed from its tables and from what Dagster has recorded.

`tables` reads the state of the tables, `records` has the model of Dagster's records, `rhythm` decides when a shop is
late, `needs` makes the list of needs of all these, `page` writes it as Markdown. No Dagster here:
`orchestration.health` materialises `pipeline_health`.
"""
