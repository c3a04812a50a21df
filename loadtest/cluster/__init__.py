"""Several nodes on one machine: a Ray cluster as Kubernetes would run it, and what may happen to it under load."""
