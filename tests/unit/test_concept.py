"""Names, owners and ids."""

from collections.abc import Callable

import pytest

from rap_serve.domain.concept import (
    Owner,
    checked_category,
    checked_info,
    checked_metadata,
    checked_name,
    fold_name,
    new_ulid,
)
from rap_serve.domain.errors import InvalidInput, InvalidName


@pytest.mark.parametrize("name", ["bo", "<bo>", "  bo ", "hat-bear", "Mr. Fluff", "Zoë", "猫", "r2_d2"])
def test_a_plain_name_is_taken_with_and_without_brackets(name: str) -> None:
    """Brackets are how a prompt writes a name; the name itself has none."""
    assert checked_name(name) == name.strip().strip("<>")


@pytest.mark.parametrize("name", ["", " ", "a" * 65, 'bo"', "bo'", "bo\nbo", "<b<o>", "-bo", "bo\x00", "a/b", "<>"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(name: str) -> None:
    """Quotes, line ends, slashes and brackets inside have no place in a name."""
    with pytest.raises(InvalidName):
        checked_name(name)


def test_names_are_compared_without_case_and_unicode_form() -> None:
    """``Ｂｏ`` (full width) and ``bo`` are one name."""
    assert fold_name("Ｂｏ") == fold_name("bO")


@pytest.mark.parametrize("part", ["", "a/b", "a b", "ü", "a" * 65, "../x", ".", "..", 'a"b'])
def test_an_owner_is_made_of_plain_ids_only(part: str) -> None:
    """What goes into filters and paths is checked where it enters."""
    with pytest.raises(InvalidName):
        Owner("tenant", part)
    with pytest.raises(InvalidName):
        Owner(part, "user")


def test_a_category_is_lower_case_words() -> None:
    """Categories become the detector's vocabulary."""
    assert checked_category("  Toy   Car ") == "toy car"
    with pytest.raises(InvalidInput):
        checked_category('car"\n')


def test_ulids_sort_by_time() -> None:
    """A page of concepts ordered by id is ordered by age."""
    assert new_ulid(now_ms=1) < new_ulid(now_ms=2) < new_ulid()
    assert len({new_ulid(now_ms=5) for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize(
    "check", [checked_info, lambda t: checked_metadata({t: "a"}), lambda t: checked_metadata({"a": t})]
)
def test_half_a_character_is_no_text(check: Callable[[str], object]) -> None:
    """No answer could repeat it; whole ones beyond the basic plane are fine."""
    with pytest.raises(InvalidInput):
        check("half \ud83d")
    check("whole \U0001f422")
