"""Bounds on what is read from anybody: YAML, JSON and streams end soon, in a sentence, with little memory."""
