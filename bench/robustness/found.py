"""What an engine answered for one sample, and the file that keeps the answers between runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Box = tuple[float, float, float, float]
"""Seconds of the sample from, to, that show seconds of the reference from, to."""


@dataclass(frozen=True, slots=True)
class Named:
    """One reference that an engine saw in a sample, however weakly.

    `counted`: it had a say in the action. `score`: higher is surer; its scale is the engine's own.
    `segments` is empty for engines without times. `evidence`: by kind, in log-odds, where the
    engine has it (`matcher.score.strongest`).
    """

    reference: str
    score: float
    segments: tuple[Box, ...] = ()
    signals: tuple[str, ...] = ()
    counted: bool = True
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """`action`: allow, review or block. `cpu_s`: CPU seconds of the engine's process and its
    children. `error`: why the sample could not be judged, where it could not; it counts as allowed.
    """

    sample: str
    action: str
    named: tuple[Named, ...] = ()
    cpu_s: float = 0.0
    error: str | None = None


class Answers:
    """The answers of one engine: JSON lines in the work folder, the last of a sample in force.

    `tag` says what was asked of what (the engine's version, its rule, the references): answers
    under another tag, or for a file that has changed since, are not used.
    """

    def __init__(self, path: Path, tag: str) -> None:
        self._path = path
        self._tag = tag
        self._kept: dict[tuple[str, str], Found] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                body = json.loads(line)
                if body["tag"] == tag:
                    self._kept[body["found"]["sample"], body["file"]] = read(body["found"])

    def get(self, sample: str, file: str) -> Found | None:
        """The answer for a sample whose file has the digest `file`."""
        return self._kept.get((sample, file))

    def add(self, found: Found, file: str) -> None:
        self._kept[found.sample, file] = found
        line = json.dumps({"tag": self._tag, "file": file, "found": asdict(found)})
        with self._path.open("a") as lines:
            lines.write(line + "\n")


def read(body: dict[str, Any]) -> Found:
    """A `Found` from what `dataclasses.asdict` and JSON made of it."""
    return Found(**{**body, "named": tuple(_named(n) for n in body["named"])})


def _named(body: dict[str, Any]) -> Named:
    boxes = tuple((q0, q1, r0, r1) for q0, q1, r0, r1 in body["segments"])
    return Named(**{**body, "segments": boxes, "signals": tuple(body["signals"])})


def digest_of(paths: Iterable[Path], *more: str) -> str:
    """16 hex digits for the bytes of files, and for words beside them, in their order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    for word in more:
        digest.update(word.encode() + b"\0")
    return digest.hexdigest()[:16]
