"""Which stages a run has, what each reads, its fingerprint, and the one door that executes them."""
