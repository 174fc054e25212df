"""The pairs that an annotator labeled."""
