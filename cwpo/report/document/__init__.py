"""A comparison as one file to send: what it says, then as HTML and as PDF."""
