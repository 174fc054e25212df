"""What pages read, cached by content."""
