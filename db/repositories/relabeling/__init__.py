"""Every write of people's votes on pairs, and of the sets of labels that are made of them."""
