"""Who is calling: the tenant behind an API key."""

import hashlib
import hmac
from collections.abc import Mapping

from rap_serve.domain.errors import Unauthorised


class Authenticate:
    """Knows digests of keys only, and compares them in constant time."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """``keys``: tenant to key."""
        self._tenant_by_digest = {_digest(key): tenant for tenant, key in keys.items()}

    def __call__(self, authorization: str | None) -> str:
        """The tenant of an ``Authorization: Bearer`` header; raises Unauthorised."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorised("Send an API key: 'Authorization: Bearer rap_...'.")
        presented = _digest(key.strip())
        matches = [t for d, t in self._tenant_by_digest.items() if hmac.compare_digest(d, presented)]
        if not matches:
            raise Unauthorised("This API key opens nothing here.")
        return matches[0]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
