"""Brokers behind one protocol: provisioned, local, external."""
