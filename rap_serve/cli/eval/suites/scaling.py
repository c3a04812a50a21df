"""What a growing library costs captions and recognition, for the same pictures and questions."""

from rap_serve.cli.eval.bench import Bench
from rap_serve.cli.eval.pack import Pack
from rap_serve.cli.eval.result import Measured, Row
from rap_serve.cli.eval.suites import Size, captioning, library_sizes, recognition


def run(bench: Bench, pack: Pack, size: Size) -> Measured:
    """Captioning and recognition at each size of the library."""
    library = pack.only_library()
    rows: list[Row] = []
    for count in bench.growing(library, library_sizes(size, library)):
        group = f"N = {count}"
        captions = captioning.captioned(bench, pack, pack.pictures, known=count)
        chosen = ("recall", "precision", "F1")
        rows += [
            Row(group, f"captioning {r.measure}", r.figure)
            for r in captioning.measures(group, captions)
            if r.measure in chosen
        ]
        answers = recognition.recognised(bench, pack.questions)
        rows += [
            Row(group, f"recognition, {r.group}", r.figure)
            for r in recognition.rows(answers)
            if r.group in ("positive", "negative", "weighted")
        ]
    return Measured(tuple(rows))
