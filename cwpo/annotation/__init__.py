"""Who labels and how well: the weak annotator, its labels with their confidence, and files labeled for others."""
