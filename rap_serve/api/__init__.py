"""The HTTP face of the use cases: FastAPI only, no logic."""
