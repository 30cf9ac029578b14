"""Made footage, in numbers: a camera that passes over a plane of features, or that stands still
while something moves before it; references and queries of it, as local features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hashdb.index.local import LocalIndex
from hashdb.model import Alignment, LocalFeatures, Motion, Rendering
from matcher import localize, sighting, telling
from matcher.laying import Found
from matcher.moments import at_its_moment
from matcher.sighting import Shot

WIDTH, HEIGHT = 448, 336
PLACE, THEN, ANOTHER = 10, 11, 12
"""Seeds: of what stands still before a fixed camera, of what moves there, and of what does so at
another time."""

NO_MOTION = Motion(np.arange(80) / 4, np.zeros((80, 16, 16), np.int8))
"""Of 20 s in which nothing moves."""

Codes = NDArray[np.uint8]
Places = NDArray[np.float32]
Map = NDArray[np.float64]
PLAIN: Map = np.array([[1.0, 0, 0], [0, 1, 0]])


def similar(turn: float = 0.0, size: float = 1.0, x: float = 0.0, y: float = 0.0) -> Map:
    """Turned by degrees and scaled, then moved."""
    a, b = size * np.cos(np.radians(turn)), size * np.sin(np.radians(turn))
    return np.array([[a, -b, x], [b, a, y]])


SMALLER = similar(turn=8, size=0.8, x=60, y=20)


@dataclass(frozen=True)
class Layer:
    """Features on a plane that moves past at so many pixels a second; those in the window show."""

    codes: Codes
    places: Places
    pace: float

    def at(self, moment: float) -> tuple[Codes, Places]:
        places = self.places.copy()
        places[:, 0] -= self.pace * moment
        shown = (places[:, 0] >= 0) & (places[:, 0] < WIDTH)
        return self.codes[shown], places[shown]


World = Sequence[Layer]


def layer(seed: int, density: int, *, pace: float, seconds: float = 40.0) -> Layer:
    """`density`: features in a picture."""
    rng = np.random.default_rng(seed)
    long = WIDTH + abs(pace) * seconds
    n = round(density * long / WIDTH)
    places = np.column_stack(
        [
            rng.uniform(0, long, n) - (abs(pace) * seconds if pace < 0 else 0),
            rng.uniform(0, HEIGHT, n),
            31 * 1.25 ** rng.integers(1, 8, n),
            rng.uniform(0, 360, n),
        ]
    )
    return Layer(rng.integers(0, 256, (n, 32), dtype=np.uint8), places.astype(np.float32), pace)


def panning(seed: int, density: int = 150) -> World:
    """A camera that moves: all of the picture changes within some seconds."""
    return [layer(seed, density, pace=40.0)]


def fixed(place: int, moving: int, *, still: int = 110, density: int = 60) -> World:
    """A camera that stands: the `place`, before which something else moves past."""
    return [layer(place, still, pace=0.0), layer(moving, density, pace=70.0)]


def shown(world: World, moment: float) -> tuple[Codes, Places]:
    parts = [one.at(moment) for one in world]
    return np.concatenate([c for c, _ in parts]), np.concatenate([p for _, p in parts])


def features(
    pictures: Sequence[tuple[float, Codes, Places]], rendering: Rendering = Rendering.PLAIN
) -> LocalFeatures:
    return LocalFeatures(
        "test",
        np.array([t for t, _, _ in pictures], dtype=np.float64),
        np.cumsum([0, *(len(c) for _, c, _ in pictures)], dtype=np.int64),
        np.tile(np.array([WIDTH, HEIGHT], np.uint16), (len(pictures), 1)),
        np.concatenate([c for _, c, _ in pictures]),
        np.concatenate([p for *_, p in pictures]).astype(np.float32),
        rendering=rendering,
    )


def reference(world: World, seconds: float = 20.0, step: float = 0.5) -> LocalFeatures:
    """Kept every half second, and every four of a scene that stands still."""
    return features([(float(t), *shown(world, t)) for t in np.arange(0, seconds, step)])


def laid(
    one: tuple[Codes, Places], by: Map, rng: np.random.Generator, *, lost: float, bits: int = 22
) -> tuple[Codes, Places]:
    """The picture as the map puts it, less what falls outside; a share of it is lost, and as much
    comes in its place."""
    codes, places = one
    every = np.unpackbits(codes, axis=1)
    every ^= (rng.random(every.shape) < bits / 256).astype(np.uint8)
    moved = places.astype(np.float64).copy()
    n = len(moved)
    moved[:, :2] = places[:, :2] @ by[:, :2].T + by[:, 2] + rng.normal(0, 0.7, (n, 2))
    moved[:, 2] *= np.sqrt(np.linalg.det(by[:, :2]))
    moved[:, 3] += np.degrees(np.arctan2(by[1, 0], by[0, 0])) + rng.normal(0, 4, n)
    moved[:, 3] %= 360
    kept = rng.random(n) >= lost
    kept &= (moved[:, 0] >= 0) & (moved[:, 0] < WIDTH)
    kept &= (moved[:, 1] >= 0) & (moved[:, 1] < HEIGHT)
    noise = layer(int(rng.integers(1 << 30)), n - int(kept.sum()) + 8, pace=0.0)
    return (
        np.concatenate([np.packbits(every, axis=1)[kept], noise.codes]),
        np.concatenate([moved[kept], noise.places]).astype(np.float32),
    )


def copy(
    world: World,
    seconds: float = 10.0,
    *,
    speed: float = 1.0,
    offset: float = 4.0,
    by: Map | Callable[[float], Map] = SMALLER,
    lost: float = 0.4,
    step: float = 0.5,
    start: float = 0.0,
    rendering: Rendering = Rendering.PLAIN,
    seed: int = 5,
) -> LocalFeatures:
    """Footage of the world's moment `speed * t + offset`, for t from `start` on; `by`: the map from
    the reference's pixels, at any or at each t."""
    rng = np.random.default_rng(seed)
    times = [float(t) for t in start + np.arange(0, seconds, step)]
    return features(
        [
            (
                t,
                *laid(
                    shown(world, speed * t + offset), by(t) if callable(by) else by, rng, lost=lost
                ),
            )
            for t in times
        ],
        rendering,
    )


def after(*parts: LocalFeatures) -> LocalFeatures:
    """One piece of footage after another; their times are kept."""
    starts = [0]
    for part in parts:
        starts += (starts[-1] + part.starts[1:]).tolist()
    return replace(
        parts[0],
        offsets=np.concatenate([p.offsets for p in parts]),
        starts=np.array(starts, dtype=np.int64),
        **{
            name: np.concatenate([getattr(p, name) for p in parts])
            for name in ("sizes", "codes", "places")
        },
    )


def index_of(*references: LocalFeatures) -> LocalIndex:
    index = LocalIndex()
    index.add(list(enumerate(references)))
    return index


def looked_for(
    query: LocalFeatures | Sequence[LocalFeatures], index: LocalIndex, *, still: Sequence[int] = ()
) -> tuple[list[Shot], list[Found]]:
    """What local features find, before moving parts are asked."""
    some = sighting.shots([query] if isinstance(query, LocalFeatures) else query)
    return some, localize.lines(some, sighting.sighted(some, index), index, still=still)


def looks(offsets: NDArray[np.float64], *, frozen: bool = False) -> dict[float, Codes]:
    """PDQ codes of the query's pictures: all different, or all of one picture."""
    rng = np.random.default_rng(8)
    codes = rng.integers(0, 256, (len(offsets), 32), dtype=np.uint8)
    return {t: codes[0 if frozen else i] for i, t in enumerate(offsets.tolist())}


def aligned(
    found: Found,
    query: LocalFeatures,
    *,
    total_s: float | None = None,
    frozen: bool = False,
) -> Alignment:
    offsets = np.unique(query.offsets)
    result = telling.alignment(
        found,
        "ref",
        track=0,
        samples=offsets,
        total_s=float(offsets[-1]) + 0.5 if total_s is None else total_s,
        alike=looks(offsets, frozen=frozen),
    )
    assert result is not None
    return result


def seen(query: LocalFeatures, index: LocalIndex) -> tuple[Found, list[Shot]]:
    """The likeliest of what is found, and the query's pictures."""
    some, found = looked_for(query, index)
    assert found, "the place is seen"
    return found[0], some


def judged(
    query: LocalFeatures, index: LocalIndex, *, frozen: bool = False
) -> list[tuple[int, Alignment]]:
    """References and their alignments, as `matcher.judge` makes them of a video: the best first."""
    some, lines = looked_for(query, index)
    results = []
    for found in lines:
        mine = [s for s in some if s.rendering is found.rendering]
        kept = at_its_moment(found, mine, index.pictures(found.reference))
        if kept is not None:
            results.append((found.reference, aligned(kept, query, frozen=frozen)))
    return sorted(results, key=lambda result: -result[1].score)


def best(query: LocalFeatures, index: LocalIndex, *, frozen: bool = False) -> float:
    """The best score; 0 where nothing is found."""
    return max((a.score for _, a in judged(query, index, frozen=frozen)), default=0.0)
