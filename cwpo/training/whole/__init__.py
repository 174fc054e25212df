"""What an objective reads of a whole step before its losses: β-DPO's gap, KTO's answers under other prompts."""
