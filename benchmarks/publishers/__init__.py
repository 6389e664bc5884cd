"""How fast the publisher is beside its peers: ``python -m benchmarks.publishers``."""
