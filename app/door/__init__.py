"""Who may use the web server: which requests come in, as whom, and how many at once."""
