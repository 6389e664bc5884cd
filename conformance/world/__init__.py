"""The effectful parts of a run, each behind a small protocol: broker, tab, publisher, network."""
