"""Load tests: who asks what and how often, what is watched meanwhile, and the report."""
