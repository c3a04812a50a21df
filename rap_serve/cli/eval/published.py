"""What others have published, on the same measures: percent, from their papers' tables.

Theirs are photographs of other things, so a row beside ours shows the order of magnitude, not a ranking.
RAP: Hao et al., CVPR 2025. RePIC: Oh et al., 2025, which also measured RAP on several concepts per picture.
"""

from collections.abc import Mapping
from typing import TypeAlias

Key: TypeAlias = tuple[str, str, str]
"""Suite, group, measure."""

COLUMNS = ("RAP-LLaVA-13B", "RAP-Phi3-V", "others")

PUBLISHED: Mapping[Key, tuple[str, str, str]] = {
    ("captioning", "1 concept", "recall"): ("93.5", "88.1", ""),
    ("captioning", "1 concept", "precision"): ("96.5", "95.1", ""),
    ("captioning", "1 concept", "F1"): ("95.0", "91.5", "MyVLM 85.5"),
    ("captioning", "4 concepts", "F1"): (
        "",
        "",
        "RAP 5.2 and RePIC 19.2, as RePIC's authors measured; RePIC with the true concepts given 71.0",
    ),
    ("vqa", "multiple choice", "accuracy"): ("93.5", "94.1", "GPT-4V, 5 pictures 88.7"),
    ("text-qa", "multiple choice", "accuracy"): ("93.8", "85.0", "GPT-4V, 5 pictures 98.7"),
    ("recognition", "positive", "accuracy"): ("97.9", "92.2", ""),
    ("recognition", "negative", "accuracy"): ("98.2", "98.8", ""),
    ("recognition", "weighted", "accuracy"): ("98.0", "95.5", "GPT-4V 92.5, Yo'LLaVA 92.4"),
    ("topk", "N = 500, detector", "recall@5"): ("above 90", "", ""),
    ("wrong-references", "handed over", "answers that utter such a name"): ("almost always", "", ""),
    ("lookalikes", "all", "top-1 of the pair"): ("", "", "best on PerVA's look-alikes 91.8"),
    ("ablations", "full", "captioning recall"): ("93.5", "", ""),
    ("ablations", "full", "captioning precision"): ("96.5", "", ""),
    ("ablations", "full", "captioning F1"): ("95.0", "", ""),
    ("ablations", "full", "visual QA"): ("93.5", "", ""),
    ("ablations", "full", "text QA"): ("93.8", "", ""),
    ("ablations", "full", "recognition"): ("98.0", "", ""),
    ("ablations", "without retrieval", "captioning F1"): ("98.0", "", ""),
    ("ablations", "without negatives", "captioning precision"): ("58.2", "", ""),
}


def published(suite: str, group: str, measure: str) -> tuple[str, str, str]:
    """The values of ``COLUMNS``, empty where nothing is known."""
    return PUBLISHED.get((suite, group, measure), ("", "", ""))
