"""Which requests wait for their turn, and what they are expected to take, as far as method, path and size tell."""

from rap_serve.services.admit import Work

CHAT = "/v1/chat/completions"
PICTURE_BYTES = 2_000
"""From here on a body is taken to hold a picture; so much text as a question is rare, and so small a picture too."""

PICTURE_SLOTS = 2
"""A new picture passes the detector and the embedder besides the model that answers."""

_LOOKING = ("/retrieve", "/concepts", "/avatars", "/corrections")
"""What is posted there shows the models a picture."""


def work_of(method: str, path: str, content_length: str | None) -> Work | None:
    """None for what never waits: health, metrics, administration, models, jobs."""
    pictures = not (content_length or "").isdigit() or int(content_length or 0) >= PICTURE_BYTES
    if path == CHAT:
        return Work("models", "chat with a picture", PICTURE_SLOTS) if pictures else Work("models", "chat")
    if not path.startswith(("/v1/users/", "/v1/usage")):
        return None
    if method == "POST" and path.endswith(_LOOKING):
        return Work("models", "retrieve" if path.endswith("/retrieve") else "remember")
    if method in ("PUT", "PATCH") and pictures:
        return Work("models", "remember")
    return Work("memory", "read" if method in ("GET", "HEAD") else "write")
