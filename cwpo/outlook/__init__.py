"""What is known of a run before anything is computed: what it would certainly fail by, what will likely disappoint."""
