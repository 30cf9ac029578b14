"""One peer, asked by JSON lines: `python worker.py NAME`, run by the peers' own Python.

The first line out says {"ready": VERSIONS, "rule": RULE} or {"missing": WHY}. Then a line in, a
line out:

    {"enroll": [ID, PATH]} -> {"cpu_s": S}
    {"query": PATH}        -> {"found": [[ID, SCORE, SEGMENTS, PASSES]], "block": BOOL, "cpu_s": S}

and {"error": WHY, "cpu_s": S} where the peer fails at a file. S: CPU seconds of this process and
its children. It stands alone: nothing of the project is imported here.
"""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

Scored = tuple[str, float, bool]
"""A reference's id, the score of a pair (higher is surer), whether the peer's rule holds."""


class Peer(Protocol):
    packages: tuple[str, ...]
    rule: str

    def enroll(self, name: str, path: str) -> None: ...

    def query(self, path: str) -> Iterable[Scored]: ...


class Pairwise:
    """A peer that compares a query with each reference in turn."""

    def __init__(self) -> None:
        self._references: dict[str, Any] = {}

    def enroll(self, name: str, path: str) -> None:
        self._references[name] = self.hash(path)

    def query(self, path: str) -> Iterator[Scored]:
        mine = self.hash(path)
        for name, theirs in self._references.items():
            score, passes = self.compare(mine, theirs)
            if score > 0:
                yield name, score, passes

    def hash(self, path: str) -> Any:
        raise NotImplementedError

    def compare(self, mine: Any, theirs: Any) -> tuple[float, bool]:
        raise NotImplementedError


class Vpdq(Pairwise):
    """vPDQ's published rule, any order, no times."""

    packages = ("vpdq", "numpy")
    rule = (
        "1 frame a second, quality >= 50: a copy where >= 80 % of the query's frames lie within"
        " 31 bits of any frame of the reference"
    )

    def __init__(self) -> None:
        super().__init__()
        import numpy
        import vpdq

        self._np, self._vpdq = numpy, vpdq

    def hash(self, path: str) -> Any:
        """Shape (frames, 4), 64 bits each."""
        frames = self._vpdq.computeHash(path, seconds_per_hash=1)
        good = b"".join(bytes.fromhex(f.hex) for f in frames if f.quality >= 50)
        return self._np.frombuffer(good, self._np.uint64).reshape(-1, 4)

    def compare(self, mine: Any, theirs: Any) -> tuple[float, bool]:
        if not len(mine) or not len(theirs):
            return 0.0, False
        np = self._np
        distances = np.bitwise_count(mine[:, None] ^ theirs[None]).sum(axis=2)
        share = float((distances.min(axis=1) <= 31).mean())
        return share, share >= 0.8


class ThreatExchange:
    """python-threatexchange's vPDQ signal and its own index, both at their defaults; a second
    index without thresholds gives the scores of what they leave out."""

    packages = ("threatexchange", "vpdq", "faiss-cpu")
    rule = (
        "VPDQSignal and VPDQIndex at their defaults: distance <= 31, quality >= 50, >= 80 % of the"
        " query's distinct frames"
    )

    def __init__(self) -> None:
        from threatexchange.extensions.vpdq.vpdq import VPDQSignal

        self._signal = VPDQSignal
        self._index = VPDQSignal.get_index_cls()()
        self._open = VPDQSignal.get_index_cls()(query_match_threshold_pct=0.0)

    def enroll(self, name: str, path: str) -> None:
        signal = self._signal.hash_from_file(Path(path))
        self._index.add(signal, name)
        self._open.add(signal, name)

    def query(self, path: str) -> Iterator[Scored]:
        signal = self._signal.hash_from_file(Path(path))
        passing = {match.metadata for match in self._index.query(signal)}
        for match in self._open.query(signal):
            share = match.similarity_info.query_match_percent / 100
            yield match.metadata, share, match.metadata in passing


class VideoMd5(Pairwise):
    """What hasher-matcher-actioner does with video unless vPDQ is added by hand."""

    packages = ("threatexchange",)
    rule = "VideoMD5Signal: the file's bytes are the same"

    def __init__(self) -> None:
        super().__init__()
        from threatexchange.signal_type.md5 import VideoMD5Signal

        self._signal = VideoMD5Signal

    def hash(self, path: str) -> Any:
        return self._signal.hash_from_file(Path(path))

    def compare(self, mine: Any, theirs: Any) -> tuple[float, bool]:
        return float(mine == theirs), mine == theirs


class VideoHash(Pairwise):
    """The constant that Pillow 10 dropped is put back, and the packaged ffmpeg put on the path."""

    packages = ("videohash", "imageio-ffmpeg")
    rule = "one 64-bit hash a video, `is_similar`: distance <= 10 (15 % of the bits)"

    def __init__(self) -> None:
        super().__init__()
        import imageio_ffmpeg
        from PIL import Image

        Image.ANTIALIAS = Image.Resampling.LANCZOS
        self._bin = tempfile.TemporaryDirectory()
        os.symlink(imageio_ffmpeg.get_ffmpeg_exe(), Path(self._bin.name) / "ffmpeg")
        os.environ["PATH"] = f"{self._bin.name}{os.pathsep}{os.environ.get('PATH', '')}"
        from videohash import VideoHash as Package

        self._package = Package

    def hash(self, path: str) -> Any:
        folder = tempfile.mkdtemp()
        try:
            return self._package(path=path, storage_path=folder + os.sep)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def compare(self, mine: Any, theirs: Any) -> tuple[float, bool]:
        return 1 - (mine - theirs) / 64, mine.is_similar(theirs)


class PerceptionFrames(Pairwise):
    """The settings of perception's documentation, its video benchmark and its example of video
    deduplication."""

    packages = ("perception",)
    rule = (
        "FramewiseHasher of PHashU8 (12 x 12, 1 frame a second, quality >= 90, frames 50 apart):"
        " any two frames within a Euclidean distance of 50"
    )
    threshold = 50.0

    def __init__(self) -> None:
        super().__init__()
        import numpy
        from perception import hashers
        from scipy.spatial.distance import cdist

        self._np, self._distances = numpy, cdist
        frame = hashers.PHashU8(exclude_first_term=False, freq_shift=1, hash_size=12)
        self._hasher = hashers.FramewiseHasher(
            frames_per_second=1, frame_hasher=frame, interframe_threshold=50, quality_threshold=90
        )

    def hash(self, path: str) -> Any:
        """Shape (frames, 144)."""
        vectors = self._hasher.compute(path, hash_format="vector") or []
        return self._np.asarray(vectors, dtype=float).reshape(-1, 144)

    def compare(self, mine: Any, theirs: Any) -> tuple[float, bool]:
        if not len(mine) or not len(theirs):
            return 0.0, False
        nearest = float(self._distances(mine, theirs).min())
        return 1 / (1 + nearest / self.threshold), nearest <= self.threshold


class Tmk(Pairwise):
    """TMK+PDQF as perception computes it, from frames of 64 x 64 as the original does."""

    packages = ("perception", "pdqhash")
    rule = (
        "TMKL1 and TMKL2 of PDQ's float values, 15 frames a second of 64 x 64: both similarities"
        " >= 0.7, the original's published thresholds"
    )

    def __init__(self) -> None:
        super().__init__()
        import cv2
        from perception.hashers import TMKL1, TMKL2, tools
        from perception.hashers.image.pdq import PDQHashF

        self._cv2, self._tools = cv2, tools
        self._frame = PDQHashF()
        self._levels = (TMKL1(frame_hasher=self._frame), TMKL2(frame_hasher=self._frame))

    def hash(self, path: str) -> Any:
        states: list[Any] = [None, None]
        for frame, index, seconds in self._tools.read_video(path, frames_per_second=15):
            small = self._cv2.resize(frame, (64, 64), interpolation=self._cv2.INTER_AREA)
            states = [
                level.process_frame(small, index, seconds, state)
                for level, state in zip(self._levels, states, strict=True)
            ]
        if states[0] is None:
            raise ValueError("no frame could be read")
        pairs = zip(self._levels, states, strict=True)
        return [level.hash_from_final_state(state) for level, state in pairs]

    def compare(self, mine: Any, theirs: Any) -> tuple[float, bool]:
        pairs = zip(self._levels, mine, theirs, strict=True)
        likeness = [1 - float(_only(level.compute_distance(a, b))) for level, a, b in pairs]
        lower = min(likeness)
        return (0.0 if math.isnan(lower) else lower), lower >= 0.7


class PHash(Pairwise):
    """What people build first: the 64-bit pHash of a frame a second."""

    packages = ("imagehash", "opencv-contrib-python-headless")
    rule = (
        "imagehash.phash (64 bits) of 1 frame a second: a copy where >= 30 % of the query's frames"
        " lie within 8 bits of any frame of the reference"
    )

    def __init__(self) -> None:
        super().__init__()
        import cv2
        import imagehash
        import numpy
        from PIL import Image

        self._cv2, self._imagehash, self._np, self._image = cv2, imagehash, numpy, Image

    def hash(self, path: str) -> Any:
        """Shape (frames, 64), of 0 and 1."""
        codes = [self._code(frame) for frame in self._frames(path)]
        if not codes:
            raise ValueError("no frame could be read")
        return self._np.stack(codes)

    def _code(self, frame: Any) -> Any:
        picture = self._image.fromarray(self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2RGB))
        return self._imagehash.phash(picture).hash.ravel().astype("int32")

    def _frames(self, path: str) -> Iterator[Any]:
        """The first frame of each second."""
        film, due = self._cv2.VideoCapture(path), 0.0
        while film.grab():
            seconds = film.get(self._cv2.CAP_PROP_POS_MSEC) / 1000
            if seconds >= due:
                good, frame = film.retrieve()
                if good:
                    yield frame
                due = math.floor(seconds) + 1.0
        film.release()

    def compare(self, mine: Any, theirs: Any) -> tuple[float, bool]:
        distances = mine @ (1 - theirs.T) + (1 - mine) @ theirs.T
        share = float((distances.min(axis=1) <= 8).mean())
        return share, share >= 0.3


PEERS: dict[str, type[Peer]] = {
    "vpdq": Vpdq,
    "threatexchange": ThreatExchange,
    "videomd5": VideoMd5,
    "videohash": VideoHash,
    "perception": PerceptionFrames,
    "tmk": Tmk,
    "phash": PHash,
}


def _only(value: Any) -> Any:
    """A number, or the one number of an array."""
    return value.item() if hasattr(value, "item") else value


def cpu_seconds() -> float:
    mine = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


def answer(peer: Peer, asked: dict[str, Any]) -> dict[str, Any]:
    if "enroll" in asked:
        peer.enroll(*asked["enroll"])
        return {}
    scored = sorted(peer.query(asked["query"]), key=lambda s: -s[1])
    found = [[name, round(score, 6), [], passes] for name, score, passes in scored]
    return {"found": found, "block": any(passes for *_, passes in found)}


def main(name: str) -> None:
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    kind = PEERS[name]
    try:
        peer = kind()
        versions = {package: version(package) for package in kind.packages}
    except Exception as error:
        print(json.dumps({"missing": f"{type(error).__name__}: {error}"}), file=answers)
        return
    print(json.dumps({"ready": versions, "rule": kind.rule}), file=answers)
    for line in sys.stdin:
        began = cpu_seconds()
        try:
            said = answer(peer, json.loads(line))
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps({**said, "cpu_s": round(cpu_seconds() - began, 4)}), file=answers)


if __name__ == "__main__":
    main(sys.argv[1])
