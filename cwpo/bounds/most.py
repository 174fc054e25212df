"""The most that a number of a configuration may be: beyond what was ever useful, and within what all readers hold."""

SEED = 2**63 - 1  # as a database's integer, and as a seed of torch
RUN_SEED = 2**31 - 1  # of a run's own seed, which has a column of the database
ROWS = 1_000_000_000
TOKENS = 10_000_000  # of one text
STEPS = 1_000_000_000
EPOCHS = 100_000
BATCH = 1_000_000
RANK = 65_536
FACTOR = 1_000_000.0
NORM = 1e18  # of gradients, and of a learning rate: training that diverges says so
