"""This installation: services, queue, workers, disk."""
