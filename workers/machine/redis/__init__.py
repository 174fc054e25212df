"""The Redis server: where it is, whether it is ours alone, how little is read of it, and whether its fixes are old."""
