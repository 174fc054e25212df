"""Attention on CUDA: FlexAttention compiled once for all lengths, under a block mask that spans are turned into."""
