"""Weights of a model: whether all of them came from its file, and how ranks read it in parts."""
