"""What stands beside the button of New run: what was changed, what exists already, what its rows look like."""
