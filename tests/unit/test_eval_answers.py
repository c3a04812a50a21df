"""What an answer says."""

import pytest

from rap_serve.cli.eval.answers import chosen, holds, judge, yes_or_no

COLOURS = {"A": "red", "B": "blue"}


def test_an_answer_is_judged_by_the_names_it_says() -> None:
    """A handle that nobody has is a wrong name, a thing's kind is none."""
    names, expected = ["bo", "luna"], frozenset({"bo"})
    assert judge("This is <bo>, a mug.", names, expected) == (expected, frozenset())
    assert judge("Bo and luna", names, expected) == (expected, frozenset({"luna"}))
    assert judge("This is <zzz>.", names, expected) == (frozenset(), frozenset({"zzz"}))
    assert judge("A mug on a table.", names, expected) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes.", True),
        ("yes, <bo> is here", True),
        ("No, <bo> is not in the photo.", False),
        ("It is not in the picture.", False),
        ("I can't see it.", False),
        ("This is <bo>, a dog.", True),
        ("This is bo, a dog.", True),
        ("I do know this: yes.", True),
        ("A dog on a mat.", None),
        ("", None),
    ],
)
def test_yes_and_no_are_made_out(answer: str, said: bool | None) -> None:
    """Its first word decides, then a negation, then a yes or the name."""
    assert yes_or_no(answer, "bo") is said


@pytest.mark.parametrize(
    "answer", ["B", "b", "B.", "(B)", "(B) blue", "B. blue", "blue", "It is blue.", "The answer is B.", "Answer: B"]
)
def test_a_choice_counts_by_its_letter_or_its_words(answer: str) -> None:
    """However it is put."""
    assert chosen(answer, COLOURS) == "B"


@pytest.mark.parametrize("answer", ["", "A or B", "red and blue", "A. blue", "green", "C", "A big <blue-mug>."])
def test_an_answer_that_names_none_or_both_is_no_choice(answer: str) -> None:
    """An article is no letter, and a name no colour."""
    assert chosen(answer, COLOURS) is None


def test_the_longer_option_counts_where_one_holds_the_other() -> None:
    """Light blue is not blue."""
    options = {"A": "blue", "B": "light blue"}
    assert chosen("light blue", options) == "B"
    assert chosen("blue", options) == "A"


def test_options_that_name_concepts_are_told_apart_by_the_rest() -> None:
    """The brackets need not be repeated."""
    options = {"A": "left of <luna>", "B": "right of <luna>"}
    assert chosen("It stands right of <luna>.", options) == "B"
    assert chosen("left of luna", options) == "A"


def test_an_open_answer_must_hold_the_words_whole() -> None:
    """In their order, in any case; an article in front does not matter."""
    assert holds("You bought it in Lisbon.", "lisbon")
    assert holds("It is 12 years old", "12 years old")
    assert holds("It was on market day", "the market")
    assert not holds("A redwood table", "red")
    assert not holds("I do not know.", "Lisbon")
