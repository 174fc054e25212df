"""Arithmetic in few kernels: FlexAttention compiled once for all lengths, its mask from spans, LoRA's low-rank product."""
