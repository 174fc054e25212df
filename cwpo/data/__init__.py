"""Preference pairs read, filtered, split and hidden; one reader per shape of row."""
