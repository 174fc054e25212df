"""Who acts: the person behind a command or a click, and what that person may do."""
