"""Texts to token ids: control tokens written in data stay text, and the ids of pairs are stored once for all stages."""
