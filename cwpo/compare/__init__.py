"""From per-prompt outcomes of several runs to rows: GRA, differences, matched KL, head to head, two judges, costs."""
