"""Quarantine: the life of a row that can't be loaded, from its rejection to its resolution.

1. *Quarantined*: a rule or the database rejects a row; `rows.quarantine_rows` keeps it, in the batch's transaction.
2. *Listed*: `open_rows` has the queries for commands, jobs and reports; `bad_rows` those for the web page, by raw row,
   with the `faults` of each column.
3. *Exported*: `spreadsheet.export_quarantine` writes the open rows with their raw texts to a file.
4. *Corrected*: `spreadsheet.read_corrections` reads the edited file; `corrections.import_corrections` lands its changed
   rows as new raw orders that replace the quarantined ones. Or *requeued* as it is: `requeue.requeue`.
5. *Resolved*: by `rows.resolve_rows` as `replayed` (the row, or its correction, is good now) or `superseded` (a later
   row of the same order is), or by `dismiss.dismiss` as `dismissed`. Resolved rows stay as history; `outcome` tells
   their ends.

Only queries and writes on quarantine belong here. The rules that reject a row are in each asset's `transform.py`; the
commands are in `cli/quarantine.py`, the Dagster jobs in `orchestration/quarantine_jobs.py`.
"""
