"""One run's models: where they lie, exported, sent to the hub, and talked to"""
