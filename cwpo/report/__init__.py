"""Rows of comparisons become words, tables and files."""
