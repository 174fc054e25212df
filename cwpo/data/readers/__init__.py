"""One file per shape of row: what a dataset's rows say, as a prompt with two responses."""
