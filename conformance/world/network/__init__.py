"""The fault proxy that stands in front of every connection."""
