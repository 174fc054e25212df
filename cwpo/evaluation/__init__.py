"""Answers and judges: sampling, gold rewards, and the gold reward accuracy of a run."""
