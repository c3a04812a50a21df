"""Which concepts a text speaks of by name."""

import re
from collections.abc import Sequence

from rap_serve.domain.concept import Concept, fold_name


def mentioned(text: str, concepts: Sequence[Concept]) -> list[int]:
    """Indices of the concepts that ``text`` names, in order of appearance.

    ``<bo>`` is a mention, and so is ``bo`` as a whole word; case and Unicode form do not matter. Where
    names contain one another, the longest at a place counts.
    """
    folded = fold_name(text)
    by_name = {name: i for i, concept in enumerate(concepts) if (name := concept.folded_name) in folded}
    if not by_name:
        return []
    longest_first = "|".join(re.escape(n) for n in sorted(by_name, key=len, reverse=True))
    pattern = re.compile(rf"<({longest_first})>|(?<![\w-])({longest_first})(?![\w-])")
    found = [by_name[m[1] or m[2]] for m in pattern.finditer(folded)]
    return list(dict.fromkeys(found))
