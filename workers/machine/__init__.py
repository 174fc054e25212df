"""This machine: paths, database, devices, processes, logs."""
