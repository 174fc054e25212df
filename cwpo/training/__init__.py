"""The one training loop and its uses: SFT, reference log-probabilities, weighted preference optimization."""
