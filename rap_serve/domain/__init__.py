"""Values and pure rules of retrieval-augmented personalization. numpy and the standard library only."""
