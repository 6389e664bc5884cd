"""Faults of the broker itself, one file each."""
