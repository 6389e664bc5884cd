"""A hostile page: what it tries with a tab's credentials, and what the broker makes of it."""
