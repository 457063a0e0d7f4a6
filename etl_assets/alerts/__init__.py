"""Alerts about failed runs and failed checks, and the channels that deliver them.

`alert` has the model and the protocol of a channel; `email`, `log` and `webhook` have a channel each; `notifier` sends
an alert through all configured channels; `check_history` decides when a failing check is worth an alert, `facts` which
facts of imports and rows are, and `told` keeps the told ones. Nothing here knows Dagster: the sensors that watch runs,
checks and facts are in `orchestration/alert_sensors.py`.
"""
