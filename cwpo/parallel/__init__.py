"""Several processes on one stage: which of them this is, how they agree, add up and put rows together."""
