"""The written policy: a TOML file, parsed and validated into values.

The rules are explained for operators in docs/policy.md. Pydantic checks the shape and the ranges
of each value, this module what values must hold together.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from hashdb.errors import BadPolicy
from hashdb.model import Action, Bank

DEFAULT = "policy_default.toml"

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Asked = Literal["allow", "review", "block"]
Held = Literal["review", "block"]


class _Rules(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Signals(_Rules):
    """Which signal types count."""

    sha256: bool = True
    md5: bool = True
    pdq: bool = True
    card: bool = True
    phash: bool = True
    videohash: bool = False
    local: bool = True
    sound: bool = True
    neural: bool = False


class Overrides(_Rules):
    """What a label or a bank says of its own; what is None falls to the less special rule."""

    action: Asked | None = None
    confident: Share | None = None
    possible: Share | None = None
    min_seconds: Seconds | None = None
    min_fraction: Share | None = None
    sound_alone: Held | None = None
    sound_min_fraction: Share | None = None


class Defaults(_Rules):
    confident: Share = 0.65
    possible: Share = 0.35
    min_seconds: Seconds = 3.0
    min_fraction: Share = 0.5
    sound_alone: Held = "block"
    sound_min_fraction: Share = 0.2


class ScoreRules(_Rules):
    """`prior`: the share of true ones among all pairs of an upload and a reference that was hit in
    it, at which scores are stated."""

    prior: Probability = 0.90


class ImageRules(_Rules):
    """`confident`: the score from which on a match of an image is confident, where its bank's own
    is lower: no other picture could speak against it."""

    confident: Share = 0.90


class LocalRules(_Rules):
    """When an upload's local features are looked at: see `matcher.looks.unsure`."""

    when: Literal["always", "unsure", "suspicious"] = "always"


class CoverageRules(_Rules):
    """How much must have been looked at, and what is asked for where it was not."""

    min_fraction: Share = 0.8
    low_coverage: Asked = "review"
    truncated: Asked = "review"
    only_flat_frames: Asked = "review"
    nothing_judged: Held = "review"
    digest_only: Asked = "review"


class FailureRules(_Rules):
    """What is asked for where a part failed. "allow" cannot be said."""

    index: Held = "review"
    classifier: Literal["review", "block", "ignore"] = "review"
    other: Held = "review"


class ScoreRule(_Rules):
    """What one score asks for: `review` from one number on, `block` from another; None is off."""

    review: Share | None = None
    block: Share | None = None


class ClassifierRules(_Rules):
    labels: Mapping[Name, ScoreRule] = Field(default_factory=dict)


class CombinedRules(_Rules):
    """A classifier's score beside a weak match: see `matcher.findings.combined`."""

    enabled: bool = True
    prior: Probability = 0.10
    min_match: Share = 0.25
    min_score: Share = 0.50
    review: Share | None = 0.90
    block: Share | None = None
    supports: Mapping[Name, list[Name]] = Field(default_factory=dict)

    def agree(self, label: str, bank_label: str | None) -> bool:
        """Whether a classifier's `label` speaks for banks labelled `bank_label`."""
        return bank_label in (label, *self.supports.get(label, ()))


class _File(_Rules):
    version: Version
    signals: Signals = Signals()
    local: LocalRules = LocalRules()
    score: ScoreRules = ScoreRules()
    images: ImageRules = ImageRules()
    defaults: Defaults = Defaults()
    labels: Mapping[Name, Overrides] = Field(default_factory=dict)
    banks: Mapping[Name, Overrides] = Field(default_factory=dict)
    coverage: CoverageRules = CoverageRules()
    failures: FailureRules = FailureRules()
    classifier: ClassifierRules = ClassifierRules()
    combined: CombinedRules = CombinedRules()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What holds for one bank's matches.

    `action`: what a confident match asks for. A match is confident from the score `confident` on
    and possible from `possible` on. It blocks where its segments cover `min_seconds` or
    `min_fraction` of the upload. By sound alone it asks for `sound_alone` at most, and blocks where
    it covers `sound_min_fraction` of the upload as well.
    """

    action: Action
    confident: float
    possible: float
    min_seconds: float
    min_fraction: float
    sound_alone: Action = Action.BLOCK
    sound_min_fraction: float = 0.2

    def needed_s(self, total_s: float) -> float:
        """How many seconds of an upload of `total_s` seconds must match for a block."""
        return min(self.min_seconds, self.min_fraction * max(0.0, total_s))

    def needed_by_sound_s(self, total_s: float) -> float:
        """The same where sound that no pictures go with is among them."""
        return max(self.needed_s(total_s), self.sound_min_fraction * max(0.0, total_s))


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one policy file.

    `version`: the file's own version, "+", the first 12 hex digits of the file's SHA-256.
    `signals`: the names of the signal types that count.
    """

    version: str
    signals: frozenset[str]
    defaults: Defaults
    labels: Mapping[str, Overrides]
    banks: Mapping[str, Overrides]
    coverage: CoverageRules
    failures: FailureRules
    classifier: ClassifierRules
    combined: CombinedRules
    score: ScoreRules
    images: ImageRules
    local: LocalRules

    def for_bank(self, bank: Bank, *, image: bool = False) -> Thresholds:
        """The bank's thresholds: by its name, else by its label, else the defaults. The action is
        the bank's own unless the policy names one. `image`: of an upload that is one."""
        values: dict[str, Any] = {"action": bank.action, **self.defaults.model_dump()}
        for rule in (self.labels.get(bank.label or ""), self.banks.get(bank.name)):
            if rule is not None:
                values |= rule.model_dump(exclude_none=True)
        values["action"] = Action(values["action"])
        values["sound_alone"] = Action(values["sound_alone"])
        if image:
            values["confident"] = max(values["confident"], self.images.confident)
        return Thresholds(**values)

    def bank_names(self) -> frozenset[str]:
        """The banks that the policy names: a name that no bank has is a rule without effect."""
        return frozenset(self.banks)

    def failure_action(self, part: str) -> Action:
        """What a failure of the part asks for; `allow` only where the classifier is ignored."""
        rules = {"index": self.failures.index, "classifier": self.failures.classifier}
        asked = rules.get(part, self.failures.other)
        return Action.ALLOW if asked == "ignore" else Action(asked)


def load_policy(path: Path | None) -> Policy:
    """The policy in the file, or the packaged default. Raises `BadPolicy` with the file, the key
    and the reason."""
    if path is None:
        data = resources.files("matcher").joinpath(DEFAULT).read_bytes()
        return parse_policy(data, DEFAULT)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadPolicy(f"{path}: cannot be read: {error.strerror}") from None
    return parse_policy(data, str(path))


def parse_policy(data: bytes, source: str) -> Policy:
    """The policy in the TOML text. `source` names the file in the errors (`BadPolicy`)."""
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadPolicy(f"{source}: is not TOML: {error}") from None
    try:
        file = _File.model_validate(table)
    except ValidationError as error:
        raise BadPolicy(f"{source}: {'; '.join(_complaints(error))}") from None
    complaints = list(_contradictions(file))
    if complaints:
        raise BadPolicy(f"{source}: {'; '.join(complaints)}")
    return Policy(
        version=f"{file.version}+{hashlib.sha256(data).hexdigest()[:12]}",
        signals=frozenset(name for name, on in file.signals.model_dump().items() if on),
        defaults=file.defaults,
        labels=file.labels,
        banks=file.banks,
        coverage=file.coverage,
        failures=file.failures,
        classifier=file.classifier,
        combined=file.combined,
        score=file.score,
        images=file.images,
        local=file.local,
    )


def _complaints(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            yield f"{path}: there is no such key"
        elif problem["type"] == "missing":
            yield f"{path}: is missing"
        else:
            yield f"{path}: {problem['msg']}, not {problem['input']!r}"


def _contradictions(file: _File) -> Iterator[str]:
    """What is wrong between values that are each in range."""
    if not (file.signals.pdq or file.signals.phash):
        yield "signals: pdq or phash must be on: without them no picture is looked at"
    yield from _upside_down(file)
    for label, rule in file.classifier.labels.items():
        yield from _misordered(f"classifier.labels.{label}", rule.review, rule.block)
    combined = file.combined
    yield from _misordered("combined", combined.review, combined.block)
    if combined.min_score < combined.prior:
        yield "combined.min_score: lies below combined.prior, where a score speaks against harm"


def _upside_down(file: _File) -> Iterator[str]:
    """Every way in which defaults, a label and a bank may meet must keep possible <= confident."""
    nothing = Overrides()
    for label, of_label in {"": nothing, **file.labels}.items():
        for bank, of_bank in {"": nothing, **file.banks}.items():
            values = file.defaults.model_dump()
            values |= of_label.model_dump(exclude_none=True)
            values |= of_bank.model_dump(exclude_none=True)
            if values["possible"] > values["confident"]:
                where = [f"labels.{label}"] * bool(label) + [f"banks.{bank}"] * bool(bank)
                yield (
                    f"{' with '.join(where) or 'defaults'}: possible ({values['possible']}) "
                    f"is above confident ({values['confident']})"
                )


def _misordered(path: str, review: float | None, block: float | None) -> Iterator[str]:
    if review is not None and block is not None and review > block:
        yield f"{path}: review ({review}) is above block ({block})"
