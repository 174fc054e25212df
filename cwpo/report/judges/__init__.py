"""Tables of what several judges say of the same answers."""
