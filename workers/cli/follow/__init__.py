"""Following runs and arranging the queue from a terminal, and trying a webhook"""
