"""The sandboxed child: decodes and hashes one piece of media, and knows no store and no secret.

Started by `matcher.sandbox`. It imports what it needs, locks itself in, says so, waits for one
open file and one request, answers, and ends.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import pkgutil
import shutil
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashdb.errors import BadMedia, MediaTimeout
from hashdb.model import Coverage, MediaFingerprints, MediaKind
from matcher import lockdown, wire
from matcher.decode import formats
from matcher.decode.pyav import PyAvDecoder
from matcher.fingerprint import FrameParts, fingerprint
from matcher.hashers import borders, local, pdq, phash
from matcher.ports import Limits, Sampling

CPU_GRACE = (1.25, 10.0)  # the kernel's limit: times the budget, plus seconds
_REQUEST_BYTES = 1 << 20
_AV_UNUSED = ("av.__main__", "av.datasets")
_WARM_UP = Sampling(dense=False, pictures=1)
_WARM_SIGNALS = ("pdq", "phash", "local")


def frame_parts() -> FrameParts:
    """What pictures are hashed with."""
    hashers = (pdq.Hasher(), phash.Hasher())
    return FrameParts(pdq.look, hashers, borders.BorderFinder, local.LocalHasher())


def cpu_limit(sampling: Sampling, limits: Limits) -> int:
    """CPU seconds after which the kernel ends the child."""
    return math.ceil(max(sampling.seconds, limits.cpu_s) * CPU_GRACE[0] + CPU_GRACE[1])


def main() -> None:
    """The way of a child that hashes frames. `sys.argv[1]`: JSON with the descriptors `socket`
    and `life`, and the `limits`."""
    channel, limits, _ = _begin()
    decoder, parts = PyAvDecoder(limits), frame_parts()
    _warm_up(decoder, parts)
    in_force = lockdown.apply(memory=limits.memory_mb << 20)
    _send(channel, json.dumps(in_force.as_dict()).encode(), b"")
    media, request = _receive(channel)
    sampling, signal_types = wire.unpack_request(request)
    spent = math.ceil(time.process_time())
    lockdown.limit_cpu(spent + cpu_limit(sampling, limits))
    _reply(channel, limits, lambda: _answer(decoder, parts, media, sampling, signal_types))


def videohash_main() -> None:
    """The way of a child that runs the videohash package, in the `folder` of `sys.argv[1]`."""
    from matcher.hashers import videohash

    channel, limits, folder = _begin()
    program = videohash.ffmpeg_path()
    if folder is None or program is None:
        raise SystemExit("no folder or no ffmpeg")
    package = videohash.load()
    videohash.prepare(folder, program)
    readable, runnable = videohash.needed_files(program)
    in_force = lockdown.apply_for_programs(
        lockdown.Programs(readable, runnable, str(folder)),
        memory=limits.memory_mb << 20,
        file_size=limits.max_bytes,
    )
    _send(channel, json.dumps(in_force.as_dict()).encode(), b"")
    media, request = _receive(channel)
    media_format, duration = wire.unpack_whole_video(request)
    lockdown.limit_cpu(math.ceil(time.process_time() + limits.cpu_s))

    def whole() -> tuple[bytes, bytes]:
        path = folder / f"media.{formats.EXTENSIONS.get(media_format, media_format)}"
        media.seek(0)
        with path.open("xb") as copy:
            shutil.copyfileobj(media, copy, 1 << 20)
        code = videohash.hash_file(package, path, folder)
        made = videohash.fingerprint(code, duration)
        nothing = Coverage(0.0, duration, 0, 0)
        return wire.pack_answer(MediaFingerprints(MediaKind.VIDEO, (made,), nothing), media_format)

    _reply(channel, limits, whole)


def _begin() -> tuple[socket.socket, Limits, Path | None]:
    """The socket to the parent, the limits, the folder; the child will not outlive the parent."""
    warnings.simplefilter("ignore")
    os.set_blocking(2, False)  # whatever a library prints: nobody may have to wait for its reader
    given = json.loads(sys.argv[1])
    threading.Thread(target=_die_with_parent, args=(given["life"],), daemon=True).start()
    folder = given["folder"] and Path(given["folder"])
    return socket.socket(fileno=given["socket"]), Limits(**given["limits"]), folder


def _reply(channel: socket.socket, limits: Limits, work: Callable[[], tuple[bytes, bytes]]) -> None:
    """Send what the work gives, or why it gives nothing."""
    try:
        head, body = work()
    except BadMedia as error:
        head, body = wire.pack_problem(type(error).__name__, str(error))
    except MemoryError:
        text = f"decoding needs more than {limits.memory_mb} MB of memory"
        head, body = wire.pack_problem(MediaTimeout.__name__, text)
    except Exception:  # whatever a library comes up with: said, then the end
        head, body = wire.pack_problem("SandboxFailed", traceback.format_exc()[-2000:])
    _send(channel, head, body)


def _answer(
    decoder: PyAvDecoder,
    parts: FrameParts,
    media: io.BufferedReader,
    sampling: Sampling,
    signal_types: tuple[str, ...],
) -> tuple[bytes, bytes]:
    opened = decoder.open(media)
    found = fingerprint(opened, parts, sampling, signal_types)
    return wire.pack_answer(found, opened.format)


def _warm_up(decoder: PyAvDecoder, parts: FrameParts) -> None:
    """Have the libraries import what they import late: afterwards no file can be opened."""
    Image.init()
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name not in _AV_UNUSED:
            importlib.import_module(module.name)
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("PNG", "JPEG", "GIF", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, name)
        fingerprint(decoder.open(file), parts, _WARM_UP, _WARM_SIGNALS)
    fingerprint(decoder.open(_small_video(noise)), parts, _WARM_UP, _WARM_SIGNALS)


def _small_video(picture: NDArray[np.uint8]) -> io.BytesIO:
    """Two pictures of video."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def _receive(channel: socket.socket) -> tuple[io.BufferedReader, bytes]:
    """The open file and the request; ends the child where the parent has none."""
    head, descriptors, _, _ = socket.recv_fds(channel, wire.FRAME.size, 1)
    if len(head) < wire.FRAME.size or len(descriptors) != 1:
        _end()
    length, _ = wire.FRAME.unpack(head)
    request = b""
    while len(request) < length <= _REQUEST_BYTES:
        more = channel.recv(length - len(request))
        if not more:
            _end()
        request += more
    return io.BufferedReader(io.FileIO(descriptors[0]), 1 << 16), request


def _send(channel: socket.socket, head: bytes, body: bytes) -> None:
    channel.sendall(wire.FRAME.pack(len(head), len(body)))
    channel.sendall(head)
    channel.sendall(body)


def _die_with_parent(life: int) -> NoReturn:
    """The parent holds the other end open as long as it lives."""
    os.read(life, 1)
    _end()


def _end() -> NoReturn:
    os._exit(0)


if __name__ == "__main__":
    main()
