"""Reproduce bundles: written, read from anybody, and computed again."""
