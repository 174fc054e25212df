"""What is in a dataset, over all of its rows: counts, lengths, repetitions, near-duplicates of prompts; an export."""
