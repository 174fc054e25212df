"""What decides the stages of over-optimisation, and what they read"""
