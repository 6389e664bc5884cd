"""The suite itself: named cases, each a scenario and what it shows, and generated ones."""
