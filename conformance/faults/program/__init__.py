"""Faults of the program that is the publisher under test, one file each."""
