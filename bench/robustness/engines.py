"""What is measured: Seawall itself, and its peers, all asked the same way, one sample at a time."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

from api.wiring import Parts, build
from bench import SAMPLING_KEY, settings
from bench.robustness.found import Found, Named, digest_of
from bench.robustness.padding import Padding, pad
from bench.robustness.peers import (
    PACKAGES,
    PICTURE_PACKAGES,
    VENV,
    WORKER,
    PeerMissing,
    Worker,
    WorkerEnded,
    install,
    packages_of,
    scripts_of,
)
from bench.robustness.samples import Reference, Sample
from hashdb.errors import SeawallError
from hashdb.model import Match, Verdict, new_id
from matcher.check import Checker
from matcher.digest import digest_file
from matcher.judge import Judge
from matcher.ports import FingerprintMedia
from matcher.score import strongest

__all__ = ["ENGINES", "Engine", "Found", "Named", "PeerEngine", "PeerMissing", "Seawall", "make"]

ENGINES = ("seawall", *PACKAGES)
PICTURE_ENGINES = ("seawall", *PICTURE_PACKAGES)
"""Those that are asked about images."""


class Engine(Protocol):
    """`version` says what answers, `rule` by which rule it blocks."""

    version: str
    rule: str

    def enroll(self, reference: Reference, path: Path) -> str | None:
        """What went wrong, or None."""

    def judge(self, sample: Sample, path: Path) -> Found: ...

    def close(self) -> None: ...


def make(name: str, work: Path, references: str, padding: Padding | None = None) -> Engine:
    """An engine. `references` is a digest of what will be enrolled: as long as neither it nor the
    code changes, Seawall keeps its database in the work folder. `padding`: Seawall's bank is made
    so large. Raises `PeerMissing`."""
    if name == "seawall":
        return Seawall(work / "seawall", references, padding)
    return PeerEngine(name)


def version_of(name: str) -> str:
    """What answers, as far as can be told without starting it: Seawall's is a digest of its
    source, a peer's its packages and a digest of the worker."""
    if name == "seawall":
        root = WORKER.parents[3]
        code = [p for top in ("hashdb", "matcher") for p in (root / top).rglob("*.*")]
        return digest_of(sorted(p for p in code if p.suffix in (".py", ".toml", ".onnx")))
    return " ".join(packages_of(name)) + " " + digest_of(scripts_of(name))


class Recorder:
    """The checker's judge, with a memory for the last matches that it found. It knows no file by
    its digest: a copy must be found by what it shows."""

    def __init__(self, judge: Any) -> None:
        self._judge = judge
        self.matches: tuple[Match, ...] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._judge, name)

    def exact(self, *_: object, **__: object) -> tuple[Match, ...]:
        return ()

    def find(self, *args: Any, **kwargs: Any) -> tuple[Match, ...]:
        self.matches = self._judge.find(*args, **kwargs)
        return self.matches


class Seawall:
    """The service's own parts as `api.wiring` makes them, at their defaults, in this process.
    `padded_gb`: what the padding holds, once it was asked. `look`: what makes fingerprints of
    uploads, where that is not the sandbox."""

    rule = "the packaged policy"

    def __init__(
        self,
        folder: Path,
        references: str,
        padding: Padding | None = None,
        look: FingerprintMedia | None = None,
    ) -> None:
        self._padding = padding
        self.padded_gb = 0.0
        self.version = version_of("seawall")
        self._folder = folder
        noted = folder / "enrolled.json"
        self._state: dict[str, Any] = {"tag": f"{self.version} {references}", "names": []}
        with suppress(OSError, ValueError):
            kept = json.loads(noted.read_text())
            if kept["tag"] == self._state["tag"]:
                self._state = kept
        if not self._state["names"]:
            shutil.rmtree(folder, ignore_errors=True)
        engine = "auto" if padding is None else "hamming"  # what `auto` takes for large banks
        self._parts: Parts = build(settings(folder, SEAWALL_INDEX=engine))
        with self._parts.store.begin() as tx:
            banks = {bank.name: bank for bank in tx.banks.list()}
            self._bank = banks.get("bench") or tx.banks.create("bench")
        self._recorder = Recorder(self._parts.judge)
        parts = self._parts
        judge = cast(Judge, self._recorder)
        look = look or parts.sandbox
        self.checker = Checker(parts.store, judge, look, parts.policy, sampling_key=SAMPLING_KEY)

    def enroll(self, reference: Reference, path: Path) -> str | None:
        if reference.id in self._state["names"]:
            return None
        with path.open("rb") as media:
            try:
                self._parts.enroller.add_media(
                    self._bank, media, digest_file(media), actor="bench", source=reference.id
                )
            except SeawallError as error:
                return f"{type(error).__name__}: {error}"
        self._state["names"].append(reference.id)
        (self._folder / "enrolled.json").write_text(json.dumps(self._state))
        return None

    def judge(self, sample: Sample, path: Path) -> Found:
        if self._padding is not None:
            self._parts.index.refresh()
            self.padded_gb = pad(self._parts.index, self._padding)
            self._padding = None
        self._recorder.matches = ()
        began = cpu_seconds()
        with path.open("rb") as media:
            try:
                verdict = self.checker.check_media(
                    "bench", new_id("upload"), media, digest_file(media)
                )
            except SeawallError as error:
                why = f"{type(error).__name__}: {error}"
                return Found(sample.id, "allow", cpu_s=cpu_seconds() - began, error=why)
        spent = round(cpu_seconds() - began, 4)
        return Found(sample.id, verdict.action.value, named(verdict, self._recorder.matches), spent)

    def close(self) -> None:
        self._parts.close()


def named(verdict: Verdict, seen: Sequence[Match]) -> tuple[Named, ...]:
    """The verdict's matches, which had a say, then those that the judge saw besides. Evidence is
    what the judge saw: verdicts are kept without their frames."""
    counted = {m.reference.id for m in verdict.matches}
    weaker = [m for m in seen if m.reference.id not in counted]
    evidence = {m.reference.id: strongest(m.alignments) for m in seen}
    return (
        *(_named(m, evidence, counted=True) for m in verdict.matches),
        *(_named(m, evidence, counted=False) for m in weaker),
    )


def _named(match: Match, evidence: Mapping[str, Mapping[str, float]], *, counted: bool) -> Named:
    boxes = tuple(
        (p.query.start, p.query.end, p.reference.start, p.reference.end) for p in match.segments
    )
    signals = tuple(dict.fromkeys(s.signal_type for s in match.signals))
    told = evidence.get(match.reference.id, {})
    return Named(match.reference.source or "", match.score, boxes, signals, counted, told)


class PeerEngine:
    """A peer at its default rule: every reference for which the rule holds is blocked. A process
    that dies at a file is started again, and its references enrolled again."""

    def __init__(self, name: str, venv: Path = VENV) -> None:
        self._name, self._venv = name, venv
        try:
            self._worker = Worker(name, venv)
        except PeerMissing:
            install(name, venv)
            self._worker = Worker(name, venv)
        packages = (f"{package} {number}" for package, number in self._worker.versions.items())
        self.version = ", ".join(packages)
        self.rule = self._worker.rule
        self._enrolled: list[tuple[str, str]] = []

    def enroll(self, reference: Reference, path: Path) -> str | None:
        entry = (reference.id, str(path.absolute()))
        said = self._ask({"enroll": entry})
        if "error" in said:
            return str(said["error"])
        self._enrolled.append(entry)
        return None

    def judge(self, sample: Sample, path: Path) -> Found:
        said = self._ask({"query": str(path.absolute())})
        if "error" in said:
            return Found(sample.id, "allow", cpu_s=said["cpu_s"], error=said["error"])
        return Found(sample.id, *_answer(said, self._name), cpu_s=said["cpu_s"])

    def close(self) -> None:
        self._worker.close()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._worker.ask(question)
        except WorkerEnded as error:
            self._worker.close()
            self._restart()
            return {"error": str(error), "cpu_s": 0.0}

    def _restart(self) -> None:
        self._worker = Worker(self._name, self._venv)
        try:
            for entry in self._enrolled:
                self._worker.ask({"enroll": entry})
        except WorkerEnded as error:
            self._worker.close()
            raise PeerMissing(f"started again, it died at a reference: {error}") from None


def _answer(said: Mapping[str, Any], name: str) -> tuple[str, tuple[Named, ...]]:
    seen = tuple(
        Named(reference, score, tuple(tuple(s) for s in segments), (name,), passes)
        for reference, score, segments, passes in said["found"]
    )
    return ("block" if said["block"] else "allow"), seen


def cpu_seconds() -> float:
    """CPU seconds of this process, of its children that have ended, and of those still alive
    (their own ended children included) where the system tells."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    return total + sum(_ticks(child) for child in _descendants(os.getpid())) / _TICKS_A_SECOND


_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in listed.read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def _ticks(pid: int) -> int:
    """User, system, and the same of its ended children: fields 14 to 17 of /proc/PID/stat."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15])
    return 0
