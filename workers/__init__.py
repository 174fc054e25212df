"""The queue and the doors: the only place where database and core meet."""
