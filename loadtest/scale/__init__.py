"""What a workload needs, by formulas; and whether such formulas foretell what a machine then does."""
