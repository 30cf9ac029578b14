"""Makes the golden vectors of PDQ with `pdqhash`, the reference code's Python binding.

`pdqhash` compiles C++, so it is no dependency: install it by hand (0.2.8 made what is here), then

    python -m tests.golden.make_pdq VIDEO...

writes `pdq.json` (hashes) and, of the videos, `pdq_frames.npz` (frames, RGB). Without videos the
frames that are there are hashed again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
from PIL import Image

from tests.golden.pictures import KINDS, cases

HERE = Path(__file__).parent
NATIVE = 1  # frame a video kept as it is
SMALL = 7  # and scaled down to 128 pixels
WIDEST = 400  # no wider native frames are kept: the whole file stays under 1 MB


def main(videos: list[str]) -> None:
    if videos:
        np.savez_compressed(HERE / "pdq_frames.npz", **frames(videos))
    stored = np.load(HERE / "pdq_frames.npz", allow_pickle=False)
    golden: dict[str, Any] = {"made_with": f"pdqhash {pdqhash.__version__}"}
    golden["frames"] = {name: hashed(stored[name]) for name in stored.files}
    golden["made"] = {}
    for name, kind, height, width, seed in cases():
        luma = KINDS[kind](height, width, seed)
        golden["made"][name] = hashed(np.repeat(luma[:, :, None], 3, axis=2))
    (HERE / "pdq.json").write_text(json.dumps(golden, indent=1) + "\n")


def frames(videos: list[str]) -> dict[str, Any]:
    """Names and (H, W, 3) uint8 frames, spread over each video."""
    import av

    kept: dict[str, Any] = {}
    for path in videos:
        with av.open(path) as container:
            decoded = [f.to_image() for f in container.decode(video=0)]
        at = np.linspace(0, len(decoded) - 1, NATIVE + SMALL + 2).astype(int)[1:-1]
        for nth, frame in enumerate(decoded[i] for i in at):
            side = WIDEST if nth < NATIVE else 128
            frame.thumbnail((side, side), Image.Resampling.BOX)
            kept[f"{Path(path).stem}-{at[nth]}-{frame.width}x{frame.height}"] = np.asarray(frame)
    return kept


def hashed(rgb: Any) -> dict[str, Any]:
    """Quality and the eight hex hashes, in the order of `pdqhash.compute_dihedral`."""
    vectors, quality = pdqhash.compute_dihedral(np.ascontiguousarray(rgb))
    upright, same = pdqhash.compute(np.ascontiguousarray(rgb))
    assert same == quality
    assert np.array_equal(upright, vectors[0])
    packed = [np.packbits(np.asarray(v, dtype=np.uint8)).tobytes().hex() for v in vectors]
    return {"quality": int(quality), "hashes": packed}


if __name__ == "__main__":
    main(sys.argv[1:])
