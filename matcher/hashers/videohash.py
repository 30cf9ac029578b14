"""videohash: 64 bits a video, as the `videohash` package 3.0.1 makes them.

A collage of one picture a second, cropped of its borders, hashed by wavelets, mixed with the
dominant colours of a strip of all pictures (github.com/akamhy/videohash). Two videos that start
or end differently have different codes: it finds whole copies only.

The package runs ffmpeg by a shell, by names. So this runs in a locked-in child of its own
(`matcher.worker.videohash_main`): no network, no file but the copy in a private folder, no
program but the shell and ffmpeg. What it is given was opened by our own decoder before, so no
playlist reaches it, and its name is ours.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hashdb.errors import CorruptMedia
from hashdb.model import Fingerprint

PIPELINE = "videohash-3.0.1"
PROGRAM = "ffmpeg"


def ffmpeg_path() -> str | None:
    """The ffmpeg of the `imageio-ffmpeg` package, or the system's; None where there is none."""
    import imageio_ffmpeg

    try:
        found: str = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        return None
    return shutil.which(found)


def load() -> Any:
    """The package's class, on a Pillow that lacks `ANTIALIAS` (gone since Pillow 10; it was
    another name for LANCZOS). Only for a process of its own: Pillow is changed for good."""
    if not hasattr(Image, "ANTIALIAS"):
        Image.ANTIALIAS = Image.Resampling.LANCZOS  # type: ignore[attr-defined]
    import imagehash
    from videohash import VideoHash, videohash

    # Asks ffmpeg for a number that is in no hash, and fails where a file does not state it.
    videohash.video_duration = lambda path: 0.0
    Image.init()
    imagehash.whash(Image.effect_noise((256, 256), 64))  # imports what it imports late

    return VideoHash


def prepare(folder: Path, ffmpeg: str) -> None:
    """Put ffmpeg on the PATH under the name that the package looks for, and nothing beside it but
    what the shell needs."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / PROGRAM).symlink_to(ffmpeg)
    os.environ["PATH"] = str(programs)
    os.environ["TMPDIR"] = str(folder)


def hash_file(video_hash: Any, path: Path, folder: Path) -> bytes:
    """The 8 bytes of the video at `path`, most significant bit first, as `hash_hex` prints them;
    work files go to `folder`. Raises `CorruptMedia` where the package can make nothing of it."""
    storage = folder / "work"
    storage.mkdir()
    try:
        made = video_hash(path=str(path), storage_path=f"{storage}{os.sep}")
    except MemoryError:
        raise
    except Exception as error:  # it raises what its parts raise: unbound names, regex groups
        raise CorruptMedia(f"videohash could not read the video: {type(error).__name__}") from None
    finally:
        shutil.rmtree(storage, ignore_errors=True)
    return int(made.hash, 2).to_bytes(8, "big")


def fingerprint(code: bytes, duration: float) -> Fingerprint:
    """One code that stands for the whole video."""
    return Fingerprint(
        signal_type="videohash",
        pipeline=PIPELINE,
        codes=np.frombuffer(code, dtype=np.uint8).reshape(1, 8).copy(),
        offsets=np.zeros(1),
        spans=np.array([duration], dtype=np.float64),
        quality=np.array([100], dtype=np.uint8),
    )


def needed_files(ffmpeg: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What ffmpeg and the shell read, and what is run: files and folders."""
    shell = os.path.realpath("/bin/sh")
    readable = ("/etc/ld.so.cache", "/dev/urandom", "/dev/null")
    libraries = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
    kept = tuple(p for p in libraries if os.path.isdir(p))
    return readable, (shell, os.path.realpath(ffmpeg), *kept)
