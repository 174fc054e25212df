"""What a run may say: its fields with their defaults, the catalog they choose from, and the checks. Torch-free."""
