"""What reaches the model, and what can not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rap_serve.domain.prompt import ConceptBlock, ImagePart, as_text, chat_parts, neutralised, rap_parts

PICTURE = ImagePart(b"picture")
AVATAR = ImagePart(b"avatar")


def test_the_layout_is_raps_own() -> None:
    """Picture, numbered concept blocks with their avatars, question."""
    blocks = [ConceptBlock("bo", "A dog.", AVATAR), ConceptBlock("mug", "Red.", AVATAR)]
    assert as_text(rap_parts(PICTURE, blocks, "What is this?")) == (
        "<image>\n[1.<image>\n Name: <bo>, Info: A dog.]\n[2.<image>\n Name: <mug>, Info: Red.]\nWhat is this?"
    )


def test_without_a_picture_the_concepts_come_first() -> None:
    """A question in words about a concept needs no picture."""
    parts = rap_parts(None, [ConceptBlock("bo", "A dog.", AVATAR)], "How old is bo?")
    assert as_text(parts).startswith("[1.<image>\n Name: <bo>")


@pytest.mark.parametrize("layout", [rap_parts, chat_parts])
def test_where_the_concepts_are_stands_right_before_the_question(layout) -> None:
    """After all blocks, which stay the same; only of concepts whose place is known, and only with a picture."""
    blocks = [ConceptBlock("bo", "A dog.", AVATAR, (0.0, 0.3, 0.3, 0.7)), ConceptBlock("mug", "Red.", AVATAR)]
    text = as_text(layout(PICTURE, blocks, "Where is bo?"))
    assert text.endswith("\nIn the picture: <bo> is on the left.\nWhere is bo?")
    unplaced = [ConceptBlock(b.name, b.info, b.avatar) for b in blocks]
    assert text.replace("In the picture: <bo> is on the left.\n", "") == as_text(
        layout(PICTURE, unplaced, "Where is bo?")
    )
    assert "In the picture" not in as_text(layout(None, blocks, "Where is bo?"))


@pytest.mark.parametrize("layout", [rap_parts, chat_parts])
@pytest.mark.parametrize(
    "text",
    ["<image>", "a <IMAGE> b", "< image >", "</s>", "<|im_end|>", "<|image_pad|>", "[INST]", "<pad>", "<imag\u200be>"],
)
def test_no_text_can_add_a_picture_or_end_a_turn(layout, text) -> None:
    """Placeholders and special tokens in stored or sent text lose their meaning."""
    blocks = [ConceptBlock("image", text, AVATAR, (0.0, 0.0, 0.3, 0.3))]
    written = as_text(layout(PICTURE, blocks, text), placeholder="\0").replace("\0", "")
    assert "<image>" not in written.lower()
    assert "</s>" not in written and "<|" not in written and "[INST]" not in written


def test_ordinary_names_keep_their_brackets() -> None:
    """Only control words are touched, not every pair of brackets."""
    assert neutralised("Is <snowball> or <simba> here, 1 < 2?") == "Is <snowball> or <simba> here, 1 < 2?"


@given(st.text())
def test_neutralising_twice_changes_nothing_more(text: str) -> None:
    """What is neutral stays as it is."""
    assert neutralised(neutralised(text)) == neutralised(text)


@given(st.text(alphabet="<>image/s|[]INST \u200b"))
def test_no_mix_of_control_pieces_survives(text: str) -> None:
    """Removing invisible characters cannot put a placeholder together."""
    assert "<image>" not in neutralised(text)
    assert "</s>" not in neutralised(text)
