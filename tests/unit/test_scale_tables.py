"""The document's tables are the script's."""

from pathlib import Path

import pytest

from loadtest.scale import tables

DOCUMENT = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()


@pytest.mark.parametrize("table", [tables.needs, tables.limits, tables.money, tables.habits, tables.accelerators])
def test_the_document_has_what_the_script_prints(table) -> None:  # type: ignore[no-untyped-def]
    """Whoever changes a cost prints the tables anew."""
    assert table() in DOCUMENT


def test_numbers_are_told_with_their_unit() -> None:
    """Two figures of small ones, thousands by letter."""
    assert [tables.count(n) for n in (2, 6.1, 454, 2_150)] == ["2", "6.1", "454", "2.1 k"]
    assert tables.size(9.2e12) == "9.2 TB" and tables.bits(1e9) == "8 Gbit/s"
