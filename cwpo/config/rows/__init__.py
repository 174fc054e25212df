"""Rows of the catalog that have a file of their own, read through `cwpo.config.catalog`: names and words only."""
