"""Every error a caller can meet.

RapError
├── InvalidInput          the request can never succeed as it is
│   ├── InvalidName
│   ├── InvalidImage
│   ├── UnsafeImageUrl
│   ├── TooLarge
│   └── KeyReused         an idempotency key that came with another request
├── Unauthorised          no key, or a wrong one
├── Forbidden             a key that opens other things than this
│   ├── TenantSuspended
│   └── QuotaExceeded
├── NotFound
│   ├── ConceptNotFound
│   ├── ModelNotFound
│   ├── TenantNotFound
│   └── JobNotFound
├── Conflict              the state of the memory forbids it
│   ├── NameTaken
│   ├── VersionMismatch
│   ├── Erased            its owner was erased while the request was under way
│   └── InProgress        the same request is being worked on
├── Overloaded            try again later: too much is going on
│   ├── RateLimited       the tenant's limit per minute is used up
│   ├── OverShare         the tenant asks for more than its share while others wait
│   └── ClusterFull       more is asked for, by all together, than can be answered in time
├── Unavailable           try again later: a part of the system cannot be reached
│   └── Unwritten         so a write has not happened
│       └── Incomplete
└── DeadlineExceeded      nobody waits for the answer any more

``code`` is the stable word a client may branch on. One positional message, so that the errors
survive pickling between processes.
"""

from typing import ClassVar


class RapError(Exception):
    """Base of all errors; its message is meant for the caller."""

    code: ClassVar[str] = "internal_error"


class InvalidInput(RapError):
    """The request is malformed."""

    code = "invalid_request"


class InvalidName(InvalidInput):
    """A concept name or an owner's id that is not allowed."""

    code = "invalid_name"


class InvalidImage(InvalidInput):
    """Bytes that are not a picture we accept."""

    code = "invalid_image"


class UnsafeImageUrl(InvalidInput):
    """A picture address that the service will not fetch."""

    code = "image_url_not_allowed"


class TooLarge(InvalidInput):
    """A body, picture or text past its limit."""

    code = "too_large"


class KeyReused(InvalidInput):
    """An idempotency key that came with another request before."""

    code = "idempotency_key_reused"


class Unauthorised(RapError):
    """No API key, or one that opens nothing."""

    code = "invalid_api_key"


class Forbidden(RapError):
    """The key was not given the scope that this needs."""

    code = "insufficient_scope"


class TenantSuspended(Forbidden):
    """The tenant is suspended, or gone."""

    code = "tenant_suspended"


class QuotaExceeded(Forbidden):
    """The tenant holds as much as it may."""

    code = "quota_exceeded"


class NotFound(RapError):
    """Nothing of the caller's has that address."""

    code = "not_found"


class ConceptNotFound(NotFound):
    """The owner has no such concept."""

    code = "concept_not_found"


class ModelNotFound(NotFound):
    """The service hosts no such model."""

    code = "model_not_found"


class TenantNotFound(NotFound):
    """There is no such tenant, or it is not the caller's."""

    code = "tenant_not_found"


class JobNotFound(NotFound):
    """The tenant has no such job."""

    code = "job_not_found"


class Conflict(RapError):
    """The memory already holds something that forbids the write."""

    code = "conflict"


class NameTaken(Conflict):
    """The owner already has a concept of that name."""

    code = "name_taken"


class VersionMismatch(Conflict):
    """The concept has changed since the caller read it."""

    code = "version_mismatch"


class Erased(Conflict):
    """The owner was erased after the request came in; nothing of it was stored."""

    code = "erased_meanwhile"


class InProgress(Conflict):
    """A request with this idempotency key is being worked on."""

    code = "idempotency_key_in_use"


class Overloaded(RapError):
    """A queue is full."""

    code = "overloaded"


class RateLimited(Overloaded):
    """The tenant has used up its requests or tokens of this minute."""

    code = "rate_limit_exceeded"


class OverShare(Overloaded):
    """The tenant has more under way and waiting than its share."""

    code = "over_share"


class ClusterFull(Overloaded):
    """It would wait for longer than is of use to anybody."""

    code = "cluster_full"


class Unavailable(RapError):
    """A backend does not answer."""

    code = "unavailable"


class Unwritten(Unavailable):
    """What was to be written was surely not; of Unavailable alone nobody knows."""

    code = "not_written"


class Incomplete(Unwritten):
    """The concept memory does not find all that it holds of a user."""

    code = "memory_incomplete"


class DeadlineExceeded(RapError):
    """The time that the request gave itself, or that it may take at most, is over."""

    code = "deadline_exceeded"


NOTHING_WRITTEN = (Conflict, NotFound, Forbidden, Unwritten)
"""The errors of a write that leave no doubt about it."""


def name_taken(name: str) -> NameTaken:
    """What to tell who wants a name that is there already."""
    return NameTaken(f"There is already a concept named {name!r}; edit it, or choose another name.")
