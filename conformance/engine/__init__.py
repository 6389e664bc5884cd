"""The engine: plays a scenario in a world and records the history."""
