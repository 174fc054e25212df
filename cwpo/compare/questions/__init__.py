"""Further questions to the same outcomes: what C gains by annotator, and who is better with β tuned per method."""
