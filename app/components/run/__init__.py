"""One run: its stages, curves, answers, result, and what can be done to it."""
