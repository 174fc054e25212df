"""Following runs, arranging the queue, asking judge models from a terminal, trying a webhook, copying runs elsewhere"""
