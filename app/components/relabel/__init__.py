"""People vote blind on pairs, see how far they agree, and make sets of labels that runs use."""
