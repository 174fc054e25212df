"""How attempts end without a result: what is tried once more with less memory, and what is said where nothing helps."""
