"""Per-prompt outcomes of runs become rows: GRA, differences, matched KL, head to head, two judges, costs."""
