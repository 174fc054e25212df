"""The form of New run: what it holds, its address, and its place in the session."""
