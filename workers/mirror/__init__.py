"""Runs as copies in MLflow, trackio or W&B: read from the database alone, and sent so that nothing is there twice"""
