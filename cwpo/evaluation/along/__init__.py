"""Over-optimisation: models kept along an alignment, and the best of n baseline answers, under two judges"""
