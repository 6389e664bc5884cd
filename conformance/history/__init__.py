"""The history: what happened in a run, as frozen events, on disk as JSON lines."""
