"""Models that `cwpo fetch` keeps whole under CWPO_HOME: how runs name them, and how GGUF files become such models."""
