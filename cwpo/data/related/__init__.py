"""Which prompts belong together: continued conversations, the same post, one task of the sandbox."""
