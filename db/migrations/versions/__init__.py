"""One file per change of the schema, numbered, with a verb in its name."""
