"""Models: fetched, loaded, measured, and run forward to log-probabilities and scores."""
