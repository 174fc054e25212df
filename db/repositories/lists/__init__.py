"""What lists of runs are made of: the fields and figures that runs are sorted and grouped by, and saved views."""
