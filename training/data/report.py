"""What a run made: counts, and a sheet of samples to look at."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from rap_serve.domain.prompt import handle
from training.data.problems import counted
from training.data.records import RapRecord, read_records
from training.data.shards import all_problems, write_text

SAMPLES = 10
_PICTURE_PX, _AVATAR_PX, _WIDTH_PX, _LINE_PX, _GAP_PX = 220, 96, 1280, 17, 12
_WRAP_CHARACTERS = 84


@dataclass(slots=True)
class Tally:
    """Counts over records; ``samples`` are spread evenly."""

    records: int = 0
    exchanges: int = 0
    pictures: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    kind_exchanges: Counter[str] = field(default_factory=Counter)
    recognised: Counter[str] = field(default_factory=Counter)
    shown: Counter[int] = field(default_factory=Counter)
    noise: Counter[int] = field(default_factory=Counter)
    naming_noise: int = 0

    def add(self, record: RapRecord) -> None:
        """Count one record."""
        self.records += 1
        self.exchanges += len(record.exchanges)
        self.pictures.add(record.images[0])
        self.kinds[record.type] += 1
        self.kind_exchanges[record.type] += len(record.exchanges)
        if record.type == "recognition":
            self.recognised.update("yes" if answer.startswith("Yes") else "no" for _, answer in record.exchanges)
        noise = [c for c in record.extra if c.noise]
        self.noise[len(noise)] += 1
        self.shown[len(record.extra) - len(noise)] += 1
        self.naming_noise += any(handle(c.name) in a for c in noise for _, a in record.exchanges)

    def json(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "exchanges": self.exchanges,
            "pictures": len(self.pictures),
            "records of each kind": dict(sorted(self.kinds.items())),
            "exchanges of each kind": dict(sorted(self.kind_exchanges.items())),
            "recognition answers": dict(sorted(self.recognised.items())),
            "records by concepts shown": _by_count(self.shown),
            "records by noise concepts": _by_count(self.noise),
            "records whose answers name noise": self.naming_noise,
        }


def write_report(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """``report.json``, ``report.md`` and ``samples.jpg`` of a finished run; the first one's content."""
    tally = Tally()
    for record in read_records(out, bad="refuse"):
        tally.add(record)
    step = max(1, tally.records // SAMPLES)
    samples = [r for i, r in enumerate(read_records(out)) if i % step == 0][:SAMPLES]
    problems = counted(all_problems(out))
    content = {**tally.json(), "bad data": problems, "settings": settings}
    write_text(out / "report.json", json.dumps(content, indent=1) + "\n")
    write_text(out / "report.md", _markdown(content, samples))
    write_sheet(out, samples, out / "samples.jpg")
    return content


def write_sheet(folder: Path, records: Sequence[RapRecord], file: Path) -> None:
    """A sheet with the picture, the avatars and the conversation of each record, as a JPEG."""
    rows = [_row(folder, record) for record in records]
    sheet = Image.new("RGB", (_WIDTH_PX, max(1, sum(row.height for row in rows))), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    new = file.with_name(f".{file.name}")
    sheet.save(new, format="JPEG", quality=88)
    new.replace(file)


def _row(folder: Path, record: RapRecord) -> Image.Image:
    lines = _said(record)
    height = max(_PICTURE_PX + _AVATAR_PX + 3 * _GAP_PX, len(lines) * _LINE_PX + 2 * _GAP_PX)
    row = Image.new("RGB", (_WIDTH_PX, height), "white")
    draw = ImageDraw.Draw(row)
    row.paste(_thumbnail(folder / record.images[0], _PICTURE_PX * 2, _PICTURE_PX), (_GAP_PX, _GAP_PX))
    for place, concept in enumerate(record.extra[:5]):
        left, top = _GAP_PX + place * (_AVATAR_PX + 4), _PICTURE_PX + 2 * _GAP_PX
        avatar = _thumbnail(folder / concept.image, _AVATAR_PX, _AVATAR_PX)
        row.paste(avatar, (left, top))
        colour = "firebrick" if concept.noise else "seagreen"
        draw.rectangle((left - 2, top - 2, left + avatar.width + 1, top + avatar.height + 1), outline=colour, width=2)
    font = ImageFont.load_default(14)
    for place, (text, colour) in enumerate(lines):
        draw.text((5 * (_AVATAR_PX + 4) + 2 * _GAP_PX, _GAP_PX + place * _LINE_PX), text, fill=colour, font=font)
    draw.line((0, height - 1, _WIDTH_PX, height - 1), fill="lightgrey")
    return row


def _said(record: RapRecord) -> list[tuple[str, str]]:
    """Wrapped lines with their colours."""
    lines = [(f"{record.id}   (green: in the picture, red: noise)", "grey")]
    for message in record.conversations:
        colour = "black" if message.sender == "human" else "mediumblue"
        for line in message.value.splitlines():
            lines += [(part, colour) for part in textwrap.wrap(line, _WRAP_CHARACTERS, break_on_hyphens=False) or [""]]
    return lines


def _thumbnail(file: Path, width: int, height: int) -> Image.Image:
    with Image.open(file) as image:
        picture = image.convert("RGB")
    scale = min(width / picture.width, height / picture.height)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))


def _markdown(content: dict[str, Any], samples: Iterable[RapRecord]) -> str:
    parts = [f"# {content['records']} records about {content['pictures']} pictures", "![samples](samples.jpg)"]
    for title, value in content.items():
        if isinstance(value, dict) and value:
            rows = "\n".join(f"| {key} | {count} |" for key, count in value.items())
            parts.append(f"## {title.capitalize()}\n\n| | |\n|---|---|\n{rows}")
    parts.append(f"{content['records whose answers name noise']} records name a noise concept in an answer.")
    for record in samples:
        turns = "\n".join(f"{m.sender}: {m.value}" for m in record.conversations)
        parts.append(f"## {record.id}\n\n```\n{turns}\n```")
    return "\n\n".join(parts) + "\n"


def _by_count(counts: Counter[int]) -> dict[str, int]:
    return {str(number): count for number, count in sorted(counts.items())}
