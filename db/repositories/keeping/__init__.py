"""Writes for what people do with runs: marks, deletion with a way back, the order of the queue, messages"""
