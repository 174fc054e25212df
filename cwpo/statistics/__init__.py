"""Intervals, differences, calibration, frontiers and agreement of arrays of numbers; imports no other part of cwpo."""
