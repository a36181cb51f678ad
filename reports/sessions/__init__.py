"""Runs of different sessions held against each other: what a clock could not settle."""
