-- Run once by the database's container, when its volume is new: a database of Dagster's own beside the orders.
CREATE DATABASE dagster OWNER etl;
