"""Evidence into a probability: `P(the upload shows the reference | what was found of it)`.

A logistic regression (Cox, "The regression analysis of binary sequences", 1958) on the log-odds of
the evidence, fitted on the training half of the robustness benchmark: `python -m
bench.robustness.calibrate` writes `calibration.toml`, whose numbers are constants of the matcher as
those of `matcher.score.WEIGHTS` are. docs/decisions/0016-calibrated-score.md says why it is so.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from enum import Enum
from importlib import resources
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FILE = "calibration.toml"

SEEN = ("hashes", "odd_hashes", "local")
NAMES = (*SEEN, "sound")
"""The kinds of evidence: those of pictures, and sound. `hashes`: of all types, for those of 64 bits
rarely say anything alone, and on lines of about normal speed; `odd_hashes`: at any speed, on which
look-alikes agree too, for there are many. Local features and sound weigh their own speeds."""

DAMPING = 5.0
"""Pictures of one upload are not independent: what is a look-alike in one is one in the next. So
the sum of what they say counts as its logarithm, from about here on."""

IMAGE_NAMES = ("hashes", "local")
"""Of images: one picture has no speed and no sound. What it says is not damped."""

LONE = (-3.15, 0.86)
"""Intercept and weight of one hash of a whole video and of likeness, undamped, on which nothing is
fitted: decision 9's scale."""


class Scale(Enum):
    """What evidence is of: a video, whose pictures agree; an image, which is all that there is; one
    code of a whole video, or likeness."""

    VIDEO = "video"
    IMAGE = "image"
    LONE = "lone"


Finite = Annotated[float, Field(allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Ends = Annotated[tuple[Finite, Finite], Field(strict=False)]


class _Values(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Weights(_Values):
    """What one unit of damped evidence adds. Not below 0: more evidence never lowers."""

    hashes: Weight
    odd_hashes: Weight
    local: Weight
    sound: Weight


class Bounds(_Values):
    """95 % bounds of the coefficients, by a bootstrap over the training half's sources."""

    intercept: Ends
    hashes: Ends
    odd_hashes: Ends
    local: Ends
    sound: Ends


class ImageWeights(_Values):
    """What one unit of an image's evidence adds."""

    hashes: Weight
    local: Weight


class ImageBounds(_Values):
    """As `Bounds`."""

    intercept: Ends
    hashes: Ends
    local: Ends


class Training(_Values):
    """What the numbers were fitted on: pairs of an upload and a reference that was hit in it."""

    seed: int
    pairs: Annotated[int, Field(ge=1)]
    true: Annotated[int, Field(ge=0)]
    sources: Annotated[int, Field(ge=1)]


class Images(_Values):
    """The numbers of images, stated at the same prior."""

    intercept: Finite
    weights: ImageWeights
    bounds: ImageBounds
    training: Training


class Calibration(_Values):
    """The numbers of one calibration file.

    `prior`: the share of true ones, among all pairs of an upload and a reference that was hit in
    it, at which the probabilities are stated; `intercept`: the log-odds there of a hit that says
    nothing.
    """

    version: Literal[1]
    prior: Probability
    intercept: Finite
    weights: Weights
    bounds: Bounds
    training: Training
    images: Images

    @model_validator(mode="after")
    def _ordered(self) -> Calibration:
        for where, bounds in (("", self.bounds), ("images.", self.images.bounds)):
            for name, (low, high) in bounds.model_dump().items():
                if low > high:
                    raise ValueError(f"{where}bounds.{name}: {low} is above {high}")
        return self

    def probability(
        self,
        evidence: Mapping[str, float],
        *,
        scale: Scale = Scale.VIDEO,
        prior: float | None = None,
    ) -> float:
        """0 to 1, at that prior (None: the file's own). `evidence`: by kind, in log-odds, 0 or
        more, of which each `scale` counts its own kinds."""
        if scale is Scale.VIDEO:
            x = self.intercept + _weighed(evidence, self.weights.model_dump())
        elif scale is Scale.IMAGE:
            x = self.images.intercept + _plain(evidence, self.images.weights.model_dump())
        else:
            x = LONE[0] + LONE[1] * summed(evidence)
        return self._at(x, prior)

    def ends(
        self,
        evidence: Mapping[str, float],
        *,
        scale: Scale = Scale.VIDEO,
        prior: float | None = None,
    ) -> tuple[float, float]:
        """What `probability` would be at the lower, and at the upper, bounds of all coefficients at
        once: wider than 95 % bounds, for they are not all off to one side. Raises `ValueError` for
        `Scale.LONE`, which has none."""
        if scale is Scale.LONE:
            raise ValueError("nothing is fitted, so that there are no bounds")
        weighed = _weighed if scale is Scale.VIDEO else _plain
        bounds = (self if scale is Scale.VIDEO else self.images).bounds.model_dump()
        names = NAMES if scale is Scale.VIDEO else IMAGE_NAMES
        low, high = (
            bounds["intercept"][end] + weighed(evidence, {n: bounds[n][end] for n in names})
            for end in (0, 1)
        )
        return self._at(low, prior), self._at(high, prior)

    def _at(self, x: float, prior: float | None) -> float:
        return restated(chance(x), self.prior, self.prior if prior is None else prior)


def _weighed(evidence: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return summed({kind: weights[kind] * damped(told) for kind, told in evidence.items()})


def _plain(evidence: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return summed({kind: weights[kind] * evidence.get(kind, 0.0) for kind in IMAGE_NAMES})


def damped(evidence: float) -> float:
    return DAMPING * math.log1p(evidence / DAMPING)


def summed(said: Mapping[str, float]) -> float:
    """Hashes and local features see the same pictures: what deceives one deceives the other, so the
    one that says most counts. Sound is another witness, and adds."""
    return max(said.get(kind, 0.0) for kind in SEEN) + said.get("sound", 0.0)


def chance(x: float) -> float:
    """The probability of log-odds."""
    return 0.5 * (1.0 + math.tanh(x / 2))


def restated(score: float, stated: float, prior: float) -> float:
    """A probability that was stated at one prior, at another (Bayes: a shift of the log-odds).
    What is certain stays so."""
    if stated == prior or not 0.0 < score < 1.0:
        return score
    odds = score / (1 - score) * (prior / (1 - prior)) / (stated / (1 - stated))
    return odds / (1 + odds)


def parse_calibration(data: bytes, source: str) -> Calibration:
    """The calibration in the TOML text. Raises `ValueError` with the source and the reason."""
    try:
        return Calibration.model_validate(tomllib.loads(data.decode("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{source}: is not TOML: {error}") from None
    except ValidationError as error:
        told = [f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors()]
        raise ValueError(f"{source}: {'; '.join(told)}") from None


CALIBRATION = parse_calibration(resources.files("matcher").joinpath(FILE).read_bytes(), FILE)
