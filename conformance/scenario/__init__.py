"""Scenarios: steps as data, their text and JSON, and the strategies that draw them."""
