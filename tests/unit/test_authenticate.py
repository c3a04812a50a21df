"""Keys open one tenant each."""

import pytest

from rap_serve.domain.errors import Unauthorised
from rap_serve.services.authenticate import Authenticate

AUTHENTICATE = Authenticate({"acme": "rap_a", "umbrella": "rap_u"})


def test_a_key_opens_its_tenant() -> None:
    """The scheme's case and blanks around the key do not matter."""
    assert AUTHENTICATE("Bearer rap_a") == "acme"
    assert AUTHENTICATE("bearer  rap_u ") == "umbrella"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic rap_a", "rap_a", "Bearer rap_x", "Bearer RAP_A"]
)
def test_anything_else_opens_nothing(header: str | None) -> None:
    """No default tenant."""
    with pytest.raises(Unauthorised):
        AUTHENTICATE(header)
