"""Who writes the answers: one contract, our own sampler behind it, and vLLM in a process of its own."""
