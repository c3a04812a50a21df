"""Every error has its place."""

import pickle

from rap_serve.api.errors import STATUS, status_of
from rap_serve.domain import errors


def all_errors(base: type[errors.RapError] = errors.RapError) -> list[type[errors.RapError]]:
    """The error and all that the domain derives from it."""
    own = [sub for sub in base.__subclasses__() if sub.__module__ == errors.__name__]
    return [base, *(e for sub in own for e in all_errors(sub))]


def test_every_error_has_a_status() -> None:
    """A new class without a row would be a 500 that nobody meant."""
    assert set(all_errors()) == set(STATUS)


def test_an_adapters_own_error_has_the_status_of_what_it_is() -> None:
    """It need not be in the table."""
    assert status_of(type("Away", (errors.Unavailable,), {})("away")) == 503


def test_every_error_has_a_code_of_its_own() -> None:
    """Clients branch on codes."""
    codes = [e.code for e in all_errors()]
    assert len(codes) == len(set(codes))


def test_errors_survive_the_way_between_processes() -> None:
    """Replicas raise them, the gateway answers with them."""
    for kind in all_errors():
        again = pickle.loads(pickle.dumps(kind("why")))  # noqa: S301
        assert type(again) is kind and str(again) == "why"
