"""Tests mirror the packages; databases, Redis, hub and browser in them are real ones."""
