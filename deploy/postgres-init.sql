-- Run once by the database's container when its volume is new: creates Dagster's database beside that of the orders.
CREATE DATABASE dagster OWNER etl;
