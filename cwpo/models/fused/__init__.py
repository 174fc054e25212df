"""Arithmetic in few kernels: FlexAttention compiled once for all lengths, its mask of spans, and LoRA's product."""
