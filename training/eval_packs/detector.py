"""The detector's pack: pictures of seen and of held-out categories, and users with other words for them."""

from __future__ import annotations

from dataclasses import replace

from rap_serve.cli.eval.pack import Pack, PackLibrary, PackPicture
from training.eval_packs.album import Album, Owner, Plan
from training.world.things import CATEGORIES, GROUPS, HELD_OUT, KINDS, Thing, sample_thing


def detector(album: Album, plan: Plan) -> Pack:
    """``n`` pictures of one to three things each, of seen and of held-out categories, for users with other words.

    The user ``groups`` has a concept for each wider word, ``words`` one for each category that was trained on,
    ``object`` one without a category.
    """
    nobody = Owner("nobody", ())
    words = {"groups": GROUPS, "words": CATEGORIES, "object": ("",)}
    libraries = []
    for user, vocabulary in words.items():
        owner = album.owner(user, [_of_word(album, word) for word in vocabulary])
        concepts = [album.concept(o, category=word) for o, word in zip(owner.owned, vocabulary, strict=True)]
        libraries.append(PackLibrary(user, tuple(concepts)))
    pictures: list[PackPicture] = []
    for tag, categories in (("seen categories", CATEGORIES), ("held-out categories", HELD_OUT)):
        users = ("groups", "words", "object") if tag == "seen categories" else ("groups", "object")
        for _ in range(plan.n):
            kinds = [categories[int(i)] for i in album.rng.integers(len(categories), size=album.rng.integers(1, 4))]
            things = [sample_thing(album.rng, split="test", category=kind) for kind in kinds]
            picture = album.photo(nobody, things, tag=tag).picture
            pictures += [replace(picture, user=user) for user in users]
    return Pack("detector", tuple(libraries), tuple(pictures))


def _of_word(album: Album, word: str) -> Thing:
    kinds = [c for c in CATEGORIES if not word or word in (c, KINDS[c].group)]
    return sample_thing(album.rng, split="test", category=kinds[int(album.rng.integers(len(kinds)))])
