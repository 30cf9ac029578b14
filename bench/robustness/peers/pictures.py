"""The peers of single pictures, asked as `worker.py` says: `python pictures.py NAME`.

A reference is an image, or a video, of which a frame a second is hashed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import worker
from worker import Pairwise

IMAGES = {".jpg", ".webp", ".png"}


class _Pictures(Pairwise):
    """One code a picture; a reference's nearest one counts. `radius`: bits of `bits`."""

    packages: tuple[str, ...] = ("opencv-contrib-python-headless",)
    bits, radius = 256, 31

    def __init__(self) -> None:
        super().__init__()
        import cv2
        import numpy
        from PIL import Image

        self._cv2, self._np, self._image = cv2, numpy, Image

    def hash(self, path: str) -> Any:
        """Shape (codes, bits), of 0 and 1."""
        codes = [code for picture in self._shown(path) for code in self.codes(picture)]
        return self._np.array(codes, dtype="int32").reshape(-1, self.bits)

    def query(self, path: str) -> Iterator[Any]:
        (picture,) = self._shown(path)
        mine = self._np.array(self.asked(picture), dtype="int32").reshape(-1, self.bits)
        for name, theirs in self._references.items():
            score, passes = self.compare(mine, theirs)
            if score > 0:
                yield name, score, passes

    def compare(self, mine: Any, theirs: Any) -> tuple[float, bool]:
        if not len(mine) or not len(theirs):
            return 0.0, False
        nearest = int((mine @ (1 - theirs.T) + (1 - mine) @ theirs.T).min())
        return 1 - nearest / self.bits, nearest <= self.radius

    def codes(self, picture: Any) -> list[Any]:
        raise NotImplementedError

    def asked(self, picture: Any) -> list[Any]:
        """Codes of an upload; any of them may match."""
        return self.codes(picture)

    def _shown(self, path: str) -> Iterator[Any]:
        """Pictures as Pillow has them."""
        if Path(path).suffix in IMAGES:
            yield self._image.open(path).convert("RGB")
            return
        film, due = self._cv2.VideoCapture(path), 0.0
        while film.grab():
            seconds = film.get(self._cv2.CAP_PROP_POS_MSEC) / 1000
            if seconds >= due:
                good, frame = film.retrieve()
                if good:
                    colours = self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2RGB)
                    yield self._image.fromarray(colours)
                due = float(int(seconds) + 1)
        film.release()


class Pdq(_Pictures):
    """What hasher-matcher-actioner does with a photo."""

    packages = ("threatexchange", "pdqhash")
    rule = "PdqSignal at its defaults: distance <= 31, quality >= 50; videos: a frame a second"

    def __init__(self) -> None:
        super().__init__()
        from threatexchange.signal_type.pdq.signal import PdqSignal

        self._signal = PdqSignal

    def codes(self, picture: Any) -> list[Any]:
        data = io.BytesIO()
        picture.save(data, "PNG", compress_level=1)
        text = self._signal.hash_from_bytes(data.getvalue())
        if not text:
            return []
        raw = self._np.frombuffer(bytes.fromhex(text), self._np.uint8)
        return [self._np.unpackbits(raw)]


class PdqTurned(_Pictures):
    """PDQ's own eight placings of each upload, which hasher-matcher-actioner does not ask for."""

    packages = ("pdqhash",)
    rule = "pdqhash.compute_dihedral of the upload: as pdq, in any of eight placings"

    def __init__(self) -> None:
        super().__init__()
        import pdqhash

        self._pdqhash = pdqhash

    def codes(self, picture: Any) -> list[Any]:
        code, quality = self._pdqhash.compute(self._np.asarray(picture))
        return [code] if quality >= 50 else []

    def asked(self, picture: Any) -> list[Any]:
        codes, quality = self._pdqhash.compute_dihedral(self._np.asarray(picture))
        return list(codes) if quality >= 50 else []


class ImagePHash(_Pictures):
    """What people build first."""

    packages = ("imagehash",)
    rule = "imagehash.phash (64 bits), distance <= 8; videos: a frame a second"
    bits, radius = 64, 8

    def __init__(self) -> None:
        super().__init__()
        import imagehash

        self._imagehash = imagehash

    def codes(self, picture: Any) -> list[Any]:
        return [self._imagehash.phash(picture).hash.ravel()]


worker.PEERS.update({"pdq": Pdq, "pdq-8": PdqTurned, "phash-image": ImagePHash})

if __name__ == "__main__":
    import sys

    worker.main(sys.argv[1])
