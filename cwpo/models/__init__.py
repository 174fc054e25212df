"""Models: fetched, loaded, measured, and run forward to log-probabilities and scores."""

from cwpo.config.environment import set_here

set_here(USE_HUB_KERNELS="NO")  # read when transformers is imported: no code of a hub computes here
