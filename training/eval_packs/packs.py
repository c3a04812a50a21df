"""One pack per suite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rap_serve.cli.eval.pack import Pack, PackLibrary, Pair, Question
from training.eval_packs.album import Album, Owned, Owner, Photo, Plan
from training.eval_packs.detector import detector
from training.eval_packs.questions import (
    fact_questions,
    info_questions,
    looks_questions,
    place_questions,
    present,
)
from training.world.things import Thing, sample_thing
from training.world.views import lookalike, twin

COUNTS = (1, 2, 4, 6)
QUERIED = 45
"""The library's first concepts, which the pictures of the growing-library suites show."""
LOOKALIKES = 4


def captioning(album: Album, plan: Plan) -> Pack:
    """``n`` pictures with each of 1, 2, 4 and 6 of the user's concepts; up to two strangers beside one or two."""
    owners = _owners(album, plan)
    photos: list[Photo] = []
    for count in COUNTS:
        for i in range(plan.n):
            owner = owners[i % len(owners)]
            strangers = album.strangers(owner, 0, 2 if count <= 2 else 0)
            photos.append(album.photo(owner, [*_things(album.some(owner.owned, count)), *strangers]))
    return _pack("captioning", album, owners, photos)


def vqa(album: Album, plan: Plan) -> Pack:
    """``n`` pictures of one or two concepts and up to one stranger; about five questions about one of them each."""
    owners, rng = _owners(album, plan), album.rng
    photos, questions = [], []
    for i in range(plan.n):
        owner = owners[i % len(owners)]
        shown = album.some(owner.owned, 1 + i % 2)
        photo = album.photo(owner, [*_things(shown), *album.strangers(owner, 0, 1)])
        asked = [
            *info_questions(rng, owner, shown[0]),
            *looks_questions(rng, owner, shown[0]),
            *fact_questions(rng, owner, shown[0]),
            *place_questions(rng, owner, photo, shown[0]),
        ]
        photos.append(photo)
        questions += _about(photo, asked)
    return _pack("vqa", album, owners, photos, questions)


def text_qa(album: Album, plan: Plan) -> Pack:
    """About five questions about each of ``n`` concepts, without a picture."""
    owners = _owners(album, plan)
    every = [(owner, owned) for owner in owners for owned in owner.owned][: plan.n]
    questions = [
        question
        for owner, owned in every
        for question in (*info_questions(album.rng, owner, owned), *fact_questions(album.rng, owner, owned))
    ]
    return _pack("text-qa", album, owners, (), questions)


def recognition(album: Album, plan: Plan) -> Pack:
    """``n`` pictures, a fifth of them of strangers; each is asked about what it shows and about what it does not."""
    owners = [_owner_with_lookalikes(album, f"u{k}", plan.library) for k in range(plan.users)]
    photos, questions = [], []
    for i in range(plan.n):
        owner = owners[i % len(owners)]
        photo, asked = _recognised(album, owner, i)
        photos.append(photo)
        questions += _about(photo, asked)
    return _pack("recognition", album, owners, photos, questions)


def topk(album: Album, plan: Plan) -> Pack:
    """One library; ``n`` pictures of one or two of its first 45 concepts and up to one stranger."""
    owner = album.owner("u0", album.things(plan.library))
    return _pack("topk", album, [owner], [_of_the_first(album, owner, i) for i in range(plan.n)])


def scaling(album: Album, plan: Plan) -> Pack:
    """As ``topk``, with a positive and a negative recognition question for each picture."""
    owner = album.owner("u0", album.things(plan.library))
    photos, questions = [], []
    for i in range(plan.n):
        photo = _of_the_first(album, owner, i)
        shown = [o for o in owner.owned if o.thing in photo.scene.things]
        away = album.some([o for o in owner.owned[:QUERIED] if o not in shown], 1)[0]
        photos.append(photo)
        questions += _about(photo, [present(owner, shown[0], why=""), present(owner, away, why="other")])
    return _pack("scaling", album, [owner], photos, questions)


def wrong_references(album: Album, plan: Plan) -> Pack:
    """``n`` pictures of a stranger, labelled with a name that the library backs with pictures of another thing."""
    owners = _owners(album, plan)
    pictures = []
    for i in range(plan.n):
        owner = owners[i % len(owners)]
        backed = owner.owned[(i // len(owners)) % len(owner.owned)]
        same = i % 2 == 0
        thing = _stranger(album, owner, backed.thing, same=same)
        tag = "the same category" if same else "another category"
        picture = album.photo(owner, [thing, *album.strangers(owner, 0, 1)], tag=tag).picture
        shown = (replace(picture.objects[0], name=backed.name), *picture.objects[1:])
        pictures.append(replace(picture, objects=shown))
    return Pack("wrong-references", _libraries(album, owners), tuple(pictures))


def lookalikes(album: Album, plan: Plan) -> Pack:
    """``n`` pairs that differ in one attribute, in libraries of pairs; a picture of each thing, up to one stranger."""
    owners, pairs, photos = [], [], []
    per_user = max(1, plan.library // 2)
    for start in range(0, plan.n, per_user):
        firsts = album.things(min(per_user, plan.n - start))
        twins = [twin(thing, album.rng, split="test") for thing in firsts]
        owner = album.owner(
            f"u{len(owners)}", [t for first, (other, _) in zip(firsts, twins, strict=True) for t in (first, other)]
        )
        owners.append(owner)
        for place, (_, attribute) in enumerate(twins):
            both = owner.owned[2 * place : 2 * place + 2]
            pairs.append(Pair(owner.user, both[0].name, both[1].name, attribute))
            photos += [album.photo(owner, [o.thing, *album.strangers(owner, 0, 1)]) for o in both]
    return replace(_pack("lookalikes", album, owners, photos), pairs=tuple(pairs))


def negatives(album: Album, plan: Plan) -> Pack:
    """``n`` pictures of one to three strangers, and ``n`` of one concept with up to two strangers."""
    owners = _owners(album, plan)
    photos = []
    for i in range(plan.n):
        owner = owners[i % len(owners)]
        photos.append(album.photo(owner, album.strangers(owner, 1, 3), tag="none"))
        one = album.some(owner.owned, 1)[0].thing
        photos.append(album.photo(owner, [one, *album.strangers(owner, 0, 2)], tag="one"))
    return _pack("negatives", album, owners, photos)


MAKERS: dict[str, Callable[[Album, Plan], Pack]] = {
    "captioning": captioning,
    "vqa": vqa,
    "text-qa": text_qa,
    "recognition": recognition,
    "topk": topk,
    "scaling": scaling,
    "wrong-references": wrong_references,
    "lookalikes": lookalikes,
    "negatives": negatives,
    "detector": detector,
}


def _owners(album: Album, plan: Plan) -> list[Owner]:
    return [album.owner(f"u{k}", album.things(plan.library)) for k in range(plan.users)]


def _owner_with_lookalikes(album: Album, user: str, count: int) -> Owner:
    """The last few things look like the first few."""
    things = album.things(count - LOOKALIKES)
    while len(things) < count:
        other = lookalike(things[len(things) - (count - LOOKALIKES)], album.rng, split="test")
        if other not in things:
            things.append(other)
    return album.owner(user, things)


def _recognised(album: Album, owner: Owner, number: int) -> tuple[Photo, list[Question]]:
    """A picture and its questions: every fifth of strangers, every second of the others of one with a look-alike."""
    if number % 5 == 4:
        photo = album.photo(owner, album.strangers(owner, 1, 2))
        return photo, [present(owner, o, why="nothing") for o in album.some(owner.owned, 2)]
    alike = dict(zip(owner.owned[:LOOKALIKES], owner.owned[-LOOKALIKES:], strict=True))
    rest = owner.owned[LOOKALIKES:-LOOKALIKES] or owner.owned
    shown = album.some(tuple(alike) if number % 2 == 0 else rest, 1)
    away = [o for o in rest if o not in shown]
    shown += album.some(away, number % 3 // 2)
    asked = [present(owner, o, why="") for o in shown]
    asked += [present(owner, o, why="other") for o in album.some([o for o in away if o not in shown], 1)]
    asked += [present(owner, alike[o], why="lookalike") for o in shown if o in alike]
    return album.photo(owner, [*_things(shown), *album.strangers(owner, 0, 1)]), asked


def _of_the_first(album: Album, owner: Owner, number: int) -> Photo:
    shown = album.some(owner.owned[:QUERIED], 2 if number % 3 == 2 else 1)
    return album.photo(owner, [*_things(shown), *album.strangers(owner, 0, 1)])


def _stranger(album: Album, owner: Owner, backed: Thing, *, same: bool) -> Thing:
    while True:
        thing = sample_thing(album.rng, split="test", category=backed.category if same else None)
        if owner.named(thing) is None and (thing.category == backed.category) is same:
            return thing


def _things(owned: Sequence[Owned]) -> list[Thing]:
    return [o.thing for o in owned]


def _about(photo: Photo, questions: Sequence[Question]) -> list[Question]:
    return [replace(q, image=photo.picture.image) for q in questions]


def _libraries(album: Album, owners: Sequence[Owner]) -> tuple[PackLibrary, ...]:
    return tuple(album.library(owner) for owner in owners)


def _pack(
    name: str, album: Album, owners: Sequence[Owner], photos: Sequence[Photo], questions: Sequence[Question] = ()
) -> Pack:
    return Pack(name, _libraries(album, owners), tuple(p.picture for p in photos), tuple(questions))
