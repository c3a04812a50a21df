"""Conversations as token trees, and what attention heads are told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from training.mllm_album import Album, blind_album
from training.mllm_ask import corpus, sample_case
from training.mllm_data import Case, CaseKind, Exchange
from training.mllm_export import IMAGE, STAND_IN, TOKENS_PER_PICTURE, build_model, build_tokenizer
from training.mllm_hints import HEADS, Hints, Llava, answer_loss
from training.mllm_learn import Learning
from training.mllm_pack import CHOICE, COPY, MATCH, OWN, SUBJECT, Cutter, Packed, pack, prompt_text
from training.mllm_start import start_copying

KINDS: tuple[CaseKind, ...] = ("known", "bare", "text", "talk")


@pytest.fixture(scope="module")
def tokenizer() -> Cutter:
    """One that was trained on a little of the corpus."""
    return build_tokenizer(corpus(np.random.default_rng(0), cases=150))


@pytest.fixture(scope="module")
def album() -> Album:
    """Things that were not drawn."""
    return blind_album(np.random.default_rng(0), things=200)


def packed(album: Album, tokenizer: Cutter, kind: CaseKind, count: int = 12) -> list[tuple[Case, Packed]]:
    rng = np.random.default_rng(1)
    cases = [sample_case(album, rng, kind=kind, dialogues=4, blind=True) for _ in range(count)]
    return [(case, pack(case, tokenizer, 1)) for case in cases]


def words(tokenizer: Cutter, tree: Packed) -> list[str]:
    return [tokenizer.decode([int(token)]) for token in tree.ids]


@pytest.mark.parametrize("kind", KINDS)
def test_each_branch_with_the_beginning_is_what_the_chat_template_writes(
    album: Album, tokenizer: Cutter, kind: CaseKind
) -> None:
    """Token for token, so that training reads what serving sends."""
    for case, tree in packed(album, tokenizer, kind):
        for number, dialogue in enumerate(case.dialogues, 1):
            text = prompt_text(tokenizer, case.turns(dialogue)) + dialogue[-1].answer + "</s>"
            mine = (tree.branch == 0) | (tree.branch == number)
            assert list(tree.ids[mine]) == tokenizer(text, add_special_tokens=False).input_ids


def test_a_token_stands_where_it_will_stand_once_pictures_have_all_their_tokens(
    album: Album, tokenizer: Cutter
) -> None:
    """Learning words without pictures then holds with them."""
    rng = np.random.default_rng(3)
    case = sample_case(album, rng, kind="known", blocks=2, dialogues=2, blind=True)
    blind, seeing = pack(case, tokenizer, 1), pack(case, tokenizer, TOKENS_PER_PICTURE)
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    assert list(blind.positions[blind.ids != image]) == list(seeing.positions[seeing.ids != image])
    assert list(seeing.positions[seeing.branch < 2]) == list(range((seeing.branch < 2).sum()))


def test_the_loss_is_of_the_answers_and_their_ends_alone(album: Album, tokenizer: Cutter) -> None:
    """Tokens with a weight spell the answers."""
    for case, tree in packed(album, tokenizer, "known"):
        said = tokenizer.decode([int(token) for token in tree.ids[tree.weights > 0]])
        assert said == "".join(f"{e.answer}</s>" for dialogue in case.dialogues for e in dialogue)


def test_a_copied_token_is_the_one_that_the_head_is_told_to_look_at(album: Album, tokenizer: Cutter) -> None:
    """What comes after the token that looks, unless a letter is asked for."""
    count = 0
    for case, tree in packed(album, tokenizer, "known"):
        choices = {int(token) for kind, token, _ in tree.hints if kind == CHOICE}
        for kind, token, source in tree.hints:
            if kind == COPY and token not in choices:
                assert tree.ids[token + 1] == tree.ids[source]
                assert tree.branch[source] == 0
                count += 1
        assert len(choices) == sum(bool(e.chosen) for dialogue in case.dialogues for e in dialogue)
    assert count > 200


def test_heads_are_told_the_number_of_the_block_that_a_token_stands_in(album: Album, tokenizer: Cutter) -> None:
    """And after the blocks the last number, which is how many there are."""
    for case, tree in packed(album, tokenizer, "known"):
        text = words(tokenizer, tree)
        own = [(token, source) for kind, token, source in tree.hints if kind == OWN]
        assert {text[source] for _, source in own} == {str(n) for n in range(1, len(case.notes) + 1)}
        assert {text[source] for token, source in own if tree.branch[token]} == {str(len(case.notes))}


def test_names_look_at_the_same_name_in_a_block(album: Album, tokenizer: Cutter) -> None:
    """Token by token, in questions and answers."""
    for _, tree in packed(album, tokenizer, "text"):
        matches = [(token, source) for kind, token, source in tree.hints if kind == MATCH]
        assert all(tree.ids[token] == tree.ids[source] and source < token for token, source in matches)


def test_words_about_a_place_look_at_the_name_that_they_are_about(album: Album, tokenizer: Cutter) -> None:
    """At its last token, which comes right before "is"; and they are all of what the prompt says of it."""
    for case, tree in packed(album, tokenizer, "known"):
        subjects: dict[int, list[int]] = {}
        for kind, token, source in tree.hints:
            if kind == SUBJECT:
                subjects.setdefault(int(source), []).append(int(token))
        said = [tokenizer.decode(tree.ids[tokens]) for tokens in subjects.values()]
        assert said == [f" is {', '.join(words)}" for words in case.place_words if words]


def test_an_answer_about_a_place_is_copied_from_the_line(album: Album, tokenizer: Cutter) -> None:
    """Not from a block that happens to hold the same words."""
    rng = np.random.default_rng(5)
    looked = 0
    for _ in range(60):
        case = sample_case(album, rng, kind="known", dialogues=4, blind=True)
        where = tuple((e,) for d in case.dialogues for e in d if e.from_places)
        if where:
            tree = pack(replace(case, dialogues=where), tokenizer, 1)
            line = min(source for kind, _, source in tree.hints if kind == SUBJECT)
            choices = [token for kind, token, _ in tree.hints if kind == CHOICE]
            sources = [source for kind, token, source in tree.hints if kind == COPY and token in choices]
            assert all(source > line for source in sources)
            looked += len(sources)
    assert looked > 10


def test_a_letter_looks_at_an_option_word_that_no_other_option_has(tokenizer: Cutter, album: Album) -> None:
    """ "handle" tells nothing where all options are handles."""
    rng = np.random.default_rng(2)
    case = sample_case(album, rng, kind="text", blocks=1, dialogues=1)
    note = case.notes[0]
    question = f"Which part does <{note.name}> have? A. a round handle B. a square handle"
    asked = Exchange(
        question, "B", (), "choice", ((0, "a square handle"),), "a square handle", ("a square handle", "a round handle")
    )
    tree = pack(Case(None, case.notes, (), ((asked,),)), tokenizer, 1)
    text = words(tokenizer, tree)
    assert [text[source] for kind, _, source in tree.hints if kind == CHOICE] == [" square"]


@pytest.fixture
def model() -> Llava:
    """An untrained one."""
    torch.manual_seed(0)
    model = build_model(STAND_IN)
    start_copying(model, 0)
    return model


def test_hints_are_heard_from_every_head_that_is_told(album: Album, tokenizer: Cutter, model: Llava) -> None:
    """One loss a kind, and more of it than none while nothing was learned."""
    learning = Learning(model, steps=10, share=1.0, hinted=1.0)
    batch = [tree for _, tree in packed(album, tokenizer, "known", 4)]
    hints = Hints.of(batch)
    answer_loss(learning.model, batch, None, hints)
    assert set(hints.losses) == set(HEADS)
    assert all(loss.item() > 0.5 for loss in hints.losses.values())


def test_training_goes_on_from_its_state_as_if_nothing_had_happened(
    album: Album, tokenizer: Cutter, model: Llava
) -> None:
    """The same losses, whether stopped in between or not."""
    trees = [tree for _, tree in packed(album, tokenizer, "text", 6)]
    learning = Learning(model, steps=6, share=1.0, hinted=1.0)
    learning.step(trees[:2], None)
    state = {**learning.state(), "model": {n: w.clone() for n, w in learning.state()["model"].items()}}
    state["optimisers"] = [torch.utils._pytree.tree_map(_copied, each) for each in state["optimisers"]]
    straight = [learning.step(trees[i : i + 2], None)["loss"] for i in (2, 4)]
    torch.manual_seed(1)
    again = Learning(build_model(STAND_IN), steps=6, share=1.0, hinted=1.0)
    again.load(state)
    assert [again.step(trees[i : i + 2], None)["loss"] for i in (2, 4)] == pytest.approx(straight, rel=1e-4)


def _copied(value: object) -> object:
    return value.clone() if isinstance(value, torch.Tensor) else value
