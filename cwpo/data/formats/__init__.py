"""Rows out of the bytes of a file: lines of JSON, an array of JSON, CSV and Parquet, each within bounds."""
