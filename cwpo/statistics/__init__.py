"""Intervals, differences, calibration, frontiers and agreement from arrays of numbers; imports nothing of ours."""
