"""The categories of the world: the words for each, and what its things can differ in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """The words and choices of one category. ``group``: the wider word for it."""

    group: str
    forms: tuple[str, str, str, str]
    parts: tuple[str, str, str, str]
    synonyms: tuple[str, ...]
    alive: bool = False


KINDS: dict[str, Kind] = {
    "dog": Kind(
        "animal",
        ("slim", "sturdy", "little", "fluffy"),
        ("floppy ears", "pointed ears", "round ears", "long ears"),
        ("dog", "puppy", "pet", "hound"),
        alive=True,
    ),
    "cat": Kind(
        "animal",
        ("slim", "chubby", "little", "fluffy"),
        ("pointed ears", "wide ears", "small ears", "tall ears"),
        ("cat", "kitten", "pet", "kitty"),
        alive=True,
    ),
    "bear": Kind(
        "toy",
        ("slim", "chubby", "little", "big"),
        ("a pale belly", "a round patch on the foot", "long arms", "big ears"),
        ("bear", "teddy bear", "plush toy", "stuffed animal", "plushie", "toy"),
        alive=True,
    ),
    "duck": Kind(
        "animal",
        ("slim", "round", "little", "long"),
        ("a flat beak", "a small wing", "a big wing", "a crest"),
        ("duck", "rubber duck", "bird", "toy"),
        alive=True,
    ),
    "mug": Kind(
        "vessel",
        ("tall", "short", "round", "tapered"),
        ("a round handle", "a square handle", "two handles", "a small handle"),
        ("mug", "cup", "coffee cup"),
    ),
    "bowl": Kind(
        "vessel",
        ("deep", "shallow", "round", "flared"),
        ("a foot", "berries in it", "a lid", "a rim"),
        ("bowl", "dish"),
    ),
    "teapot": Kind(
        "vessel",
        ("round", "tall", "flat", "tapered"),
        ("a high handle", "a side handle", "a long spout", "a big knob"),
        ("teapot", "pot", "kettle"),
    ),
    "bottle": Kind(
        "container",
        ("slim", "wide", "tapered", "tall"),
        ("a screw cap", "a cork", "a pump", "a long neck"),
        ("bottle", "flask", "drink"),
    ),
    "carton": Kind(
        "container",
        ("slim", "wide", "short", "tall"),
        ("a gable top", "a screw cap", "a flat top", "a slanted top"),
        ("carton", "milk carton", "oat milk carton", "juice box", "drink", "box", "package"),
    ),
    "can": Kind(
        "container",
        ("slim", "wide", "short", "tall"),
        ("a ring pull", "a wide rim", "a paper label", "a lid"),
        ("can", "tin", "soda can", "drink"),
    ),
    "car": Kind(
        "vehicle",
        ("low", "tall", "long", "short"),
        ("big wheels", "a roof rack", "a spoiler", "an open back"),
        ("car", "toy car", "vehicle", "automobile"),
    ),
    "house": Kind(
        "building",
        ("tall", "wide", "narrow", "low"),
        ("a pointed roof", "a flat roof", "a tower", "a chimney"),
        ("house", "building", "home", "tower", "castle"),
    ),
    "plant": Kind(
        "plant",
        ("tall", "bushy", "drooping", "small"),
        ("long leaves", "round leaves", "flowers", "spines"),
        ("plant", "potted plant", "flower", "cactus"),
    ),
    "vase": Kind(
        "vessel",
        ("slim", "round", "flared", "tall"),
        ("two ears", "a narrow neck", "a foot", "a wide mouth"),
        ("vase", "jar", "urn", "candle"),
    ),
    "backpack": Kind(
        "clothing",
        ("tall", "wide", "round", "small"),
        ("one pocket", "two pockets", "a top flap", "side straps"),
        ("backpack", "bag", "rucksack"),
    ),
    "boot": Kind(
        "clothing",
        ("tall", "low", "slim", "chunky"),
        ("laces", "a buckle", "a high heel", "a cuff"),
        ("boot", "shoe", "sneaker", "trainer"),
    ),
    "chair": Kind(
        "furniture",
        ("tall", "low", "wide", "narrow"),
        ("a slatted back", "a solid back", "a round back", "armrests"),
        ("chair", "seat", "furniture"),
    ),
    "clock": Kind(
        "device",
        ("round", "square", "oval", "tall"),
        ("two bells", "roman marks", "dot marks", "a stand"),
        ("clock", "alarm clock", "watch"),
    ),
    "robot": Kind(
        "toy",
        ("tall", "short", "boxy", "round"),
        ("an antenna", "wheels", "claws", "a screen"),
        ("robot", "toy robot", "toy", "figurine", "monster toy"),
    ),
    "lamp": Kind(
        "device",
        ("tall", "short", "wide", "slim"),
        ("a cone shade", "a drum shade", "a round shade", "a bent arm"),
        ("lamp", "light", "lantern"),
    ),
    "fox": Kind(
        "animal",
        ("slim", "sturdy", "little", "fluffy"),
        ("a bushy tail", "a pale tail tip", "large ears", "a long muzzle"),
        ("fox", "cub"),
        alive=True,
    ),
    "mouse": Kind(
        "animal",
        ("slim", "chubby", "little", "long"),
        ("round ears", "huge ears", "a curled tail", "buck teeth"),
        ("mouse", "hamster"),
        alive=True,
    ),
    "pig": Kind(
        "animal",
        ("slim", "chubby", "little", "big"),
        ("a curly tail", "folded ears", "pointed ears", "spotted feet"),
        ("pig", "piglet", "piggy"),
        alive=True,
    ),
    "owl": Kind(
        "animal",
        ("slim", "round", "little", "tall"),
        ("ear tufts", "spread wings", "a striped belly", "a big beak"),
        ("owl", "owlet"),
        alive=True,
    ),
    "horse": Kind(
        "animal",
        ("slim", "sturdy", "little", "tall"),
        ("a long mane", "a short mane", "a long tail", "pale hooves"),
        ("horse", "pony", "foal"),
        alive=True,
    ),
    "bucket": Kind(
        "vessel",
        ("tall", "short", "wide", "tapered"),
        ("a wire handle", "two grips", "a thick rim", "hoops around it"),
        ("bucket", "pail", "tub"),
    ),
    "goblet": Kind(
        "vessel",
        ("tall", "short", "round", "flared"),
        ("a thin stem", "a thick stem", "a knot in the stem", "a wide foot"),
        ("goblet", "glass", "chalice"),
    ),
    "pan": Kind(
        "vessel",
        ("deep", "shallow", "wide", "small"),
        ("a long handle", "two handles", "a lid", "a spout"),
        ("pan", "saucepan", "casserole"),
    ),
    "truck": Kind(
        "vehicle",
        ("long", "short", "tall", "low"),
        ("a box on the back", "an open bed", "a tank", "a crane"),
        ("truck", "lorry"),
    ),
    "van": Kind(
        "vehicle",
        ("long", "short", "tall", "low"),
        ("a roof rack", "a side door", "big wheels", "a rear ladder"),
        ("van", "camper", "minivan"),
    ),
    "train": Kind(
        "vehicle",
        ("long", "short", "tall", "low"),
        ("a chimney", "a cow catcher", "a wagon", "a bell"),
        ("train", "locomotive", "engine"),
    ),
    "tractor": Kind(
        "vehicle",
        ("big", "small", "tall", "low"),
        ("a cabin", "an exhaust pipe", "a front loader", "mudguards"),
        ("tractor", "farm tractor"),
    ),
    "boat": Kind(
        "vehicle",
        ("long", "short", "tall", "low"),
        ("a sail", "a cabin", "a funnel", "portholes"),
        ("boat", "ship", "toy boat"),
    ),
    "table": Kind(
        "furniture",
        ("long", "short", "low", "high"),
        ("four legs", "one leg", "a drawer", "crossed legs"),
        ("table", "desk"),
    ),
    "sofa": Kind(
        "furniture",
        ("long", "short", "low", "high"),
        ("round arms", "square arms", "two cushions", "buttons"),
        ("sofa", "couch", "settee"),
    ),
    "stool": Kind(
        "furniture",
        ("wide", "narrow", "low", "high"),
        ("three legs", "a round seat", "a footrest", "one leg"),
        ("stool", "bar stool", "footstool"),
    ),
    "shelf": Kind(
        "furniture",
        ("tall", "wide", "narrow", "low"),
        ("books on it", "two doors", "drawers", "an open back"),
        ("shelf", "bookcase", "cupboard"),
    ),
    "bed": Kind(
        "furniture",
        ("long", "short", "low", "high"),
        ("a tall headboard", "two pillows", "a canopy", "posts"),
        ("bed", "cot", "bunk"),
    ),
    "curio": Kind(
        "ornament",
        ("stacked", "broad", "single", "hollow"),
        ("feet", "handles", "a top piece", "windows"),
        ("curio", "ornament", "trinket"),
    ),
    "rabbit": Kind(
        "animal",
        ("slim", "chubby", "little", "fluffy"),
        ("upright ears", "one bent ear", "hanging ears", "short ears"),
        ("rabbit", "bunny", "hare"),
        alive=True,
    ),
    "jug": Kind(
        "vessel",
        ("tall", "round", "short", "tapered"),
        ("a curved handle", "a square handle", "a lid", "a wide spout"),
        ("jug", "pitcher"),
    ),
    "bus": Kind(
        "vehicle",
        ("long", "short", "tall", "low"),
        ("two doors", "a roof rack", "big wheels", "a back engine"),
        ("bus", "coach"),
    ),
    "bench": Kind(
        "furniture",
        ("long", "short", "low", "high"),
        ("a slatted back", "a solid back", "armrests", "no back"),
        ("bench", "pew"),
    ),
}
