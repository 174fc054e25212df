"""What make and contributors call: the environment, the lock file, the tree."""
