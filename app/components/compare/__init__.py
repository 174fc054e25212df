"""Settings side by side: tables, evidence, further questions to the same answers."""
