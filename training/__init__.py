"""The RAP data pipeline and the training of the tiny model family."""
