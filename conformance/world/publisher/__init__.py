"""Publishers under test behind one protocol."""
