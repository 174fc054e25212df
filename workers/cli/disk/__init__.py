"""`cwpo gc`, `backup` and `restore`: what nobody needs on disk, and the whole installation as one file."""
