"""Real local features for `bench.scale`: a folder's videos, and edited pictures of them.

Both are kept in a file of the work folder, so that the next run need not decode again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bench.copies import copies_in, related, videos
from bench.robustness.video import facts, read
from hashdb.model import Codes, LocalFeatures
from matcher.hashers.local import PIPELINE, LocalHasher

STEP_S = 0.5  # between a reference's pictures, as enrolment takes them
MOST_S = 120.0  # of a video
QUERIES = 6  # pictures of a video that are edited
PHASE_S = 0.2  # of a query's picture after a reference's

Picture = NDArray[np.uint8]
Places = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One edited picture's features. `reference`, `offset`: which video it shows, at which second;
    `edit`: its name in `EDITS`."""

    reference: int
    offset: float
    edit: str
    codes: Codes
    places: Places


def crop(picture: Picture) -> Picture:
    """60 % of width and height, off the middle."""
    height, width = picture.shape
    top, left = round(0.12 * height), round(0.3 * width)
    return picture[top : top + round(0.6 * height), left : left + round(0.6 * width)]


def rotation(picture: Picture) -> Picture:
    """By 9 degrees, on black."""
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 9, 1.0)
    return np.asarray(cv2.warpAffine(picture, turn, (width, height)), np.uint8)


def overlay(picture: Picture) -> Picture:
    """A banner over a third, and two lines of letters."""
    height, width = picture.shape
    out = picture.copy()
    out[-height // 3 :] = 210
    for line, text in enumerate(("BREAKING NEWS", "share this now")):
        at = (width // 20, height - height // 4 + line * height // 8)
        cv2.putText(out, text, at, cv2.FONT_HERSHEY_DUPLEX, height / 400, 20, 2)
    return out


def low_bitrate(picture: Picture) -> Picture:
    """A third of the size at JPEG quality 12, and large again."""
    height, width = picture.shape
    small = cv2.resize(picture, (width // 3, height // 3), interpolation=cv2.INTER_AREA)
    packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 12])[1]
    again = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    return np.asarray(cv2.resize(again, (width, height)), np.uint8)


def combined(picture: Picture) -> Picture:
    """Cropped, turned by 9 degrees and of low bitrate."""
    return low_bitrate(rotation(crop(picture)))


EDITS: dict[str, Callable[[Picture], Picture]] = {
    "crop": crop,
    "rotation": rotation,
    "overlay": overlay,
    "low bitrate": low_bitrate,
    "combined": combined,
}


def _luma(path: Path, start: float, seconds: float) -> Iterator[Picture]:
    for frame in read(path, start, seconds, 1 / STEP_S):
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)


def reference_of(path: Path) -> LocalFeatures | None:
    """A video's features as a reference's; None where it has none."""
    found = []
    for i, luma in enumerate(_luma(path, 0.0, MOST_S)):
        one = LocalHasher().reference(luma)
        if one is not None:
            found.append((i * STEP_S, one))
    if not found:
        return None
    return LocalFeatures(
        PIPELINE,
        np.array([offset for offset, _ in found]),
        np.cumsum([0, *(len(one.codes) for _, one in found)], dtype=np.int64),
        np.array([(one.width, one.height) for _, one in found], np.uint16),
        np.concatenate([one.codes for _, one in found]),
        np.concatenate([one.places for _, one in found]),
    )


def queries_of(path: Path, reference: int) -> Iterator[Query]:
    """Pictures spread over the video, between those that the reference has, in each edit."""
    seconds = min(MOST_S, facts(path).seconds)
    for offset in np.linspace(0, seconds - 1, QUERIES + 2)[1:-1].tolist():
        offset = round(offset / STEP_S) * STEP_S + PHASE_S
        for luma in _luma(path, offset, STEP_S):
            for edit, change in EDITS.items():
                for one in LocalHasher().query(np.ascontiguousarray(change(luma)))[:1]:
                    yield Query(reference, offset, edit, one.codes, one.places)


def load(folder: Path, work: Path) -> tuple[list[LocalFeatures], list[Query]]:
    """The references, one a video that shows no other's footage, and the queries of all."""
    kept = work / "pictures.npz"
    paths = [p for p in videos(folder) if p.name not in copies_in(related(folder))]
    names = [p.name for p in paths]
    if kept.exists() and np.load(kept)["names"].tolist() == names:
        return _unpacked(kept)
    references: list[LocalFeatures] = []
    queries: list[Query] = []
    for path in tqdm(paths, desc="features", disable=None):
        features = reference_of(path)
        if features is not None:
            queries += queries_of(path, len(references))
            references.append(features)
    work.mkdir(parents=True, exist_ok=True)
    _pack(kept, names, references, queries)
    return references, queries


def _pack(
    path: Path, names: list[str], references: list[LocalFeatures], queries: list[Query]
) -> None:
    columns = {
        f"reference/{i}/{name}": getattr(one, name)
        for i, one in enumerate(references)
        for name in ("offsets", "starts", "sizes", "codes", "places")
    }
    for i, query in enumerate(queries):
        columns[f"query/{i}/codes"], columns[f"query/{i}/places"] = query.codes, query.places
    np.savez(
        path,
        names=np.array(names),
        references=np.array([q.reference for q in queries]),
        offsets=np.array([q.offset for q in queries]),
        edits=np.array([q.edit for q in queries]),
        count=np.array(len(references)),
        **columns,  # type: ignore[arg-type]
    )


def _unpacked(path: Path) -> tuple[list[LocalFeatures], list[Query]]:
    kept = np.load(path)
    names = ("offsets", "starts", "sizes", "codes", "places")
    references = [
        LocalFeatures(PIPELINE, *(kept[f"reference/{i}/{name}"] for name in names))
        for i in range(int(kept["count"]))
    ]
    told = zip(kept["references"], kept["offsets"], kept["edits"], strict=True)
    queries = [
        Query(
            int(reference),
            float(offset),
            str(edit),
            kept[f"query/{i}/codes"],
            kept[f"query/{i}/places"],
        )
        for i, (reference, offset, edit) in enumerate(told)
    ]
    return references, queries
