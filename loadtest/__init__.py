"""Load and endurance from outside, over HTTP, against a running service."""
