"""What only a GPU can show: equality of its attention, DPO steps against TRL, labeling, sampling, peaks of memory."""
