"""A generated world: things with an identity, pictures of them and text about them.

Every function is a pure function of its arguments and of the generator it is given.
"""

from training.world.draw import draw_thing
from training.world.scene import Scene, background, sample_scene
from training.world.text import caption, describe, info_text, sample_name
from training.world.things import ALL_CATEGORIES, CATEGORIES, GROUPS, HELD_OUT, Split, Thing, sample_thing, split_of

__all__ = [
    "ALL_CATEGORIES",
    "CATEGORIES",
    "GROUPS",
    "HELD_OUT",
    "Scene",
    "Split",
    "Thing",
    "background",
    "caption",
    "describe",
    "draw_thing",
    "info_text",
    "sample_name",
    "sample_scene",
    "sample_thing",
    "split_of",
]
