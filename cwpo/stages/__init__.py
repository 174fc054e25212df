"""Which stages a run has: their kinds, settings, inputs and fingerprints, and how one of them is executed."""
