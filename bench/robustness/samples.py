"""What is judged and what is true of it: plain values, kept as JSON in the work folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TIERS = (
    "everyday", "hostile", "combined", "effects", "sound", "natural", "news", "near", "negative",
)  # fmt: skip
"""`combined`: three to five edits at once; `news`: a reference quoted for 1 to 3 seconds in much
other footage; `natural`: copies made by others; `near`: of images, what may be found or not
(`plan_images`); `negative`: shows no reference."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A file that is enrolled. `source`: the original that it shows, or a part of; `split` ("train"
    or "test") is drawn by source, so that no footage is on both sides."""

    id: str
    path: str
    source: str
    split: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Truth:
    """Seconds [start, end] of the sample that show seconds [start, end] of the reference."""

    reference: str
    query: tuple[float, float]
    shown: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """A file that is judged. `edits`: names, in the order of their doing; `params`: the drawn
    numbers; `sources`: all originals whose footage is in it; `truth` is empty for a negative.

    `kind`: the row of the table that it belongs to (the edit's name, "three to five edits",
    "look-alike", "title card", ...)."""

    id: str
    path: str
    tier: str
    kind: str
    split: str
    seconds: float
    edits: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    truth: tuple[Truth, ...] = ()


@dataclass(frozen=True, slots=True)
class Benchmark:
    seed: int
    references: tuple[Reference, ...]
    samples: tuple[Sample, ...]


def save(benchmark: Benchmark, path: Path) -> None:
    path.write_text(json.dumps(asdict(benchmark), indent=1))


def load(path: Path) -> Benchmark:
    body = json.loads(path.read_text())
    return Benchmark(
        body["seed"],
        tuple(Reference(**r) for r in body["references"]),
        tuple(_sample(s) for s in body["samples"]),
    )


def _sample(body: dict[str, Any]) -> Sample:
    truth = tuple(_truth(t) for t in body["truth"])
    lists: Sequence[str] = ("edits", "sources")
    return Sample(**{**body, **{name: tuple(body[name]) for name in lists}, "truth": truth})


def _truth(body: dict[str, Any]) -> Truth:
    return Truth(body["reference"], tuple(body["query"]), tuple(body["shown"]))
