"""The paper's numbers, the presets that repeat its comparisons, which runs answer them, and the verdicts."""
