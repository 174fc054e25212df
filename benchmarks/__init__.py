"""Measurements of this program and of its peers on the same machine, model, data and batch."""
