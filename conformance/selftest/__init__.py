"""Broken and sound worlds: the suite must turn red on the first, for the right reason, and never on the second."""
