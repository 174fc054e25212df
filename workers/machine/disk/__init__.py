"""What lies on this installation's disk: what nobody needs of it, and the whole of it as one file and back."""
