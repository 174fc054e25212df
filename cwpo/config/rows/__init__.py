"""Rows of the catalog that fill a file of their own."""
