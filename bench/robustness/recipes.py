"""How a sample is made, all numbers drawn: the same recipe gives the same file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.robustness.samples import Truth
from bench.robustness.video import facts


@dataclass(frozen=True, slots=True)
class Recipe:
    """`maker`: "file" (as it is), "copy", "made", "news" or "sound". `footage`: the file that the
    sample is made of, "" for made pictures. `reference`: the id of the reference that it shows,
    "" for a negative. `others`: files of other footage. `sources`: originals of all these.
    `truth`: of a file that is taken as it is."""

    id: str
    maker: str
    tier: str
    kind: str
    split: str
    footage: str = ""
    reference: str = ""
    edits: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    truth: tuple[Truth, ...] = ()

    def text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def other_paths(self) -> tuple[Path, ...]:
        return tuple(Path(name) for name in self.others)


@dataclass(frozen=True, slots=True)
class Made:
    """A file that is there now; `query`, `shown` as in `Truth`, None where nothing is shown."""

    path: Path
    seconds: float
    query: tuple[float, float] = (0.0, 0.0)
    shown: tuple[float, float] = (0.0, 0.0)


def as_it_is(recipe: Recipe) -> Made:
    path = Path(recipe.footage)
    return Made(path, round(facts(path).seconds, 3))
