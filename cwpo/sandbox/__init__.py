"""The offline world with a known truth: prompts, a behaviour policy, noisy labels, tiny models."""
