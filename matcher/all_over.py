"""Whether an image shows a reference's picture all over. Pure but for what describes the image.

One picture has no line of time, and what its features find again of another (some two in five at
best, next to none where it was enlarged, dimmed or made small) is seen in another moment of the
same place, too, or in a program's window around something else. But once the map is known, all of
the reference's features can be looked for where they should be (`matcher.ports.Guide`). A copy has
nearly all of them; where somebody else stands, or another picture is shown, those that lie beside
each other are missing, or there is much where the reference has nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hashdb.model import Grey, Ints, Rendering
from matcher import verify
from matcher.ports import FrameFeatures, Guide, Luma
from matcher.sighting import Sight
from matcher.verify import Places

FOUND_BITS, MISSING_BITS = 64, 72
"""Bits within which a feature is found, and beyond which something else is there: at the nearest of
25 places what is alike by chance differs in 65 to 110, the less the coarser it is."""

FEWEST, FOUND_PART, LACKING_PART = 40, 0.85, 0.5
"""Features that are looked for, at least; the part of them that must be found; and the part below
which the image shows something else (a program's window around another picture; of copies that are
blocked none has less than 0.6)."""

BESIDE, MISSING_BESIDE, MOST_HOLES = 8, 5, 1
"""Of a feature and those nearest to it, so many in all, so many may not be missing, or something
else is there; that may be said of so many features. (Of somebody who moved it is said of 4 and
more, of copies with nothing over them of 0.)"""

COARSE = 59.0
"""Pixels of a patch, in a reference's picture of 896, from which on noise and sharpening make no
features in the upload where the reference has none."""

EMPTY_AT, MORE_PART, MORE_LEAST = 0.06, 0.1, 3
"""Where no feature of the reference lies within this part of its longer side it has nothing; this
part of the upload's coarse features may lie there, or so many. (Of a window around another picture
0.5, of an empty street at which cars have come 0.3.)"""

SHARED = 0.6
"""The part of the smaller picture that must be shared: two pictures with one text share that."""

TRIED = 3
"""Sights of one reference, those with the most inliers, that are asked."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How an image shows a reference's picture: `all_over`, or with `holes`, or so that it `lacks`
    most of what should be seen."""

    all_over: bool
    holes: bool
    lacks: bool


NOT_ASKED = Shown(all_over=False, holes=False, lacks=False)


def rendered(grey: Grey, rendering: Rendering) -> Luma:
    """The image as it is described in that rendering."""
    shown = grey.luma[:, ::-1] if rendering.mirrored else grey.luma
    return np.ascontiguousarray(~shown if rendering.inverted else shown)


def best_shown(sights: Sequence[Sight], grey: Grey, guide: Guide) -> tuple[Shown, Sight]:
    """Of the pictures of one reference, each as it is sighted, the one that the image shows all
    over, else the one with the most inliers, and how it shows it."""
    first, *others = sorted(sights, key=lambda s: -s.agreement.inliers)[:TRIED]
    how = as_shown(first, grey, guide)
    if not how.all_over:
        for sight in others:
            if (other := as_shown(sight, grey, guide)).all_over:
                return other, sight
    return how, first


def as_shown(sight: Sight, grey: Grey, guide: Guide) -> Shown:
    """How the image shows the picture that it is sighted in."""
    shot, one = sight.shot.picture, sight.nominee
    if grey.luma.shape != (shot.height, shot.width):
        return NOT_ASKED
    reference = FrameFeatures(Rendering.PLAIN, one.codes, one.places, one.width, one.height)
    bits, _ = guide(rendered(grey, sight.shot.rendering), sight.agreement.map, reference)
    asked = bits >= 0
    if asked.sum() < FEWEST:
        return NOT_ASKED
    part = float((bits[asked] <= FOUND_BITS).mean())
    holes = has_holes(bits, reference.places)
    whole = part >= FOUND_PART and not holes
    all_over = whole and _shared(sight) >= SHARED and not _has_more(sight)
    return Shown(all_over, holes, part < LACKING_PART)


def has_holes(bits: Ints, places: Places) -> bool:
    """Whether features that lie beside each other are missing. `bits` (n,): as of `Guide`; `places`
    (n, 4): the reference's."""
    rows = np.flatnonzero(bits >= 0)
    apart = _squared(places[rows, :2], places[rows, :2])
    nearest = np.argpartition(apart, BESIDE - 1, axis=1)[:, :BESIDE]
    missing = (bits[rows] > MISSING_BITS)[nearest].sum(axis=1)
    return int((missing >= MISSING_BESIDE).sum()) > MOST_HOLES


def _has_more(sight: Sight) -> bool:
    """Whether the image shows much where the reference has nothing."""
    reference, shot, found = sight.nominee, sight.shot.picture, sight.agreement.map
    size = max(reference.width, reference.height)
    back = np.linalg.inv(np.vstack([found, [0.0, 0.0, 1.0]]))[:2]
    places = verify.mapped(back, shot.places).astype(np.float32)
    shrunk = np.sqrt(abs(np.linalg.det(back[:, :2])))
    inside = (places >= 0).all(axis=1) & (places < (reference.width, reference.height)).all(axis=1)
    coarse = places[inside & (shot.places[:, 2] * shrunk >= COARSE * size / 896)]
    if not len(coarse):
        return False
    nearest = _squared(coarse, reference.places[:, :2]).min(axis=1)
    more = int((nearest > (EMPTY_AT * size) ** 2).sum())
    return more > max(MORE_LEAST, MORE_PART * len(coarse))


def _shared(sight: Sight) -> float:
    """The part of the smaller picture that both show, 0 to 1."""
    reference, shot, found = sight.nominee, sight.shot.picture, sight.agreement.map
    steps = (np.arange(16) + 0.5) / 16
    grid = np.stack(np.meshgrid(steps * reference.width, steps * reference.height), axis=-1)
    laid = verify.mapped(found, grid.reshape(-1, 2).astype(np.float32))
    inside = (laid >= 0).all(axis=1) & (laid < (shot.width, shot.height)).all(axis=1)
    area = reference.width * reference.height * abs(float(np.linalg.det(found[:, :2])))
    smaller = min(area, float(shot.width * shot.height))
    return float(inside.mean()) * area / max(smaller, 1.0)


def _squared(some: Places, others: Places) -> Places:
    """(n, m) squared distances."""
    return np.asarray(((some[:, None] - others[None]) ** 2).sum(axis=2))
