"""Following runs and arranging the queue from a terminal, trying a webhook, and copying runs elsewhere"""
