"""The frame of every page: what pages share that is about no run."""
