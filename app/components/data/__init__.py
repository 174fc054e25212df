"""What is in a dataset, and will it work?"""
