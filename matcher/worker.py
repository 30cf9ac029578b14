"""The sandboxed child: decodes and hashes one piece of media, and knows no store and no secret.

Forked from a template (`matcher.template`), which has imported and warmed up what is needed, or
started by itself (`matcher.child`). It locks itself in, says so, waits for one open file and one
request, answers, and ends.
"""

from __future__ import annotations

import gc
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
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashdb.errors import BadMedia, MediaTooLarge
from hashdb.model import Coverage, MediaFingerprints, MediaKind, SoundPeaks
from hashdb.signals import CARD
from matcher import lockdown, wire
from matcher.decode import formats
from matcher.decode.pyav import PyAvDecoder
from matcher.decode.sound import RATE, OpenedSound, SoundBlock
from matcher.features import LocalLook
from matcher.fingerprint import FrameParts, fingerprint
from matcher.forking import fork_children
from matcher.hashers import borders, brief, local, panes, pdq, phash
from matcher.hashers.sound import listen
from matcher.helper import Helper
from matcher.ports import Limits, Sampling

CPU_GRACE = (1.25, 10.0)  # the kernel's limit: times the budget, plus seconds
_REQUEST_BYTES = 1 << 20
_AV_UNUSED = ("av.__main__", "av.datasets")
_WARM_UP = Sampling(dense=False, pictures=1)
_WARM_SIGNALS = ("pdq", "phash", "local")

SOUND_SHARE = 0.25
"""Listening may cost this part of what looking may, beside it, of CPU time and by the clock."""

UPLOAD_SOUND_S, REFERENCE_SOUND_S = 3 * 3600.0, 18 * 3600.0
"""Sound that is listened to, all tracks together. Later than 18 hours `pack_moments` cannot say."""

YIELDS, SLICE_S = 10, 0.02
"""How far children stand behind the service for the CPU: nice(2), and seconds at a time. Where the
service has something to answer, nine parts in ten are its; where not, children have all of it."""

_REST_S = 5.0  # CPU time that is left for the answer before the kernel's limit


def frame_parts() -> FrameParts:
    """What pictures are hashed with."""
    hashers = (pdq.Hasher(), phash.Hasher(), pdq.Hasher(CARD, orientations=pdq.ORIENTATIONS[:1]))
    hasher = local.LocalHasher()
    return FrameParts(pdq.look, hashers, borders.BorderFinder, hasher, panes.PaneFinder)


def cpu_limit(sampling: Sampling, limits: Limits) -> int:
    """CPU seconds after which the kernel ends the child."""
    return math.ceil(max(sampling.seconds, limits.cpu_s) * CPU_GRACE[0] + CPU_GRACE[1])


def main() -> None:
    """The way of a child that is started by itself and hashes frames. `sys.argv[1]`: JSON with
    the descriptors `socket` and `life`, and the `limits`."""
    channel, limits, _ = _begin()
    decoder, parts = PyAvDecoder(limits), frame_parts()
    _warm_up(decoder, parts)
    _serve(channel, limits, decoder, parts)


def template_main() -> None:
    """The way of the template, and from the fork on that of each of its children. `sys.argv[1]`:
    JSON with the descriptor `socket`, on which children are asked for, and the `limits`."""
    given, limits = _given()
    decoder, parts = PyAvDecoder(limits), frame_parts()
    _warm_up(decoder, parts)
    gc.collect()
    gc.freeze()  # children leave what was imported where it lies: looking it over is copying it
    lockdown.undumpable()
    channel, life = fork_children(socket.socket(fileno=given["socket"]))
    _be_quiet()
    _watch(life)
    _serve(socket.socket(fileno=channel), limits, decoder, parts)


def _serve(channel: socket.socket, limits: Limits, decoder: PyAvDecoder, parts: FrameParts) -> None:
    """Lock this process in, then answer one request."""
    helper = Helper()
    in_force = lockdown.apply(memory=limits.memory_mb << 20, start=helper.start)
    _send(channel, json.dumps(in_force.as_dict()).encode(), b"")
    media, request = _receive(channel)
    sampling, signal_types = wire.unpack_request(request)
    until = math.ceil(time.process_time()) + cpu_limit(sampling, limits)  # of the whole process
    lockdown.limit_cpu(until)
    began = time.monotonic()

    def left(clock_s: float) -> float:
        return began + clock_s - time.monotonic()

    def work() -> tuple[bytes, bytes]:
        opened = decoder.open(media)
        tell = partial(_tell, channel)
        aside: list[LocalLook] = []
        look = replace(sampling, clock_s=left(sampling.clock_s))
        found = fingerprint(opened, parts, look, signal_types, helper, tell, aside)
        if "sound" in signal_types and found.kind is MediaKind.VIDEO and not sampling.windows:
            seconds = min(SOUND_SHARE * sampling.seconds, until - _REST_S - time.process_time())
            longest = REFERENCE_SOUND_S if sampling.dense else UPLOAD_SOUND_S
            clock_s = left((1 + SOUND_SHARE) * sampling.clock_s)
            found = replace(found, sound=hear(media, seconds, longest, clock_s))
        answer = wire.pack_answer(found, opened.format, waits=bool(aside))
        if not aside:
            return answer
        _send(channel, *answer)
        if channel.recv(1) != wire.ALL:
            _end()
        rest = tuple(one for look in aside for one in look.rest())
        return wire.pack_answer(
            MediaFingerprints(found.kind, (), found.coverage, local=rest), opened.format
        )

    _reply(channel, limits, work)


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
    given, limits = _given()
    _watch(given["life"])
    folder = given["folder"] and Path(given["folder"])
    return socket.socket(fileno=given["socket"]), limits, folder


def _given() -> tuple[dict[str, Any], Limits]:
    """What `sys.argv[1]` says."""
    lockdown.stand_behind(YIELDS, SLICE_S)
    warnings.simplefilter("ignore")
    _be_quiet()
    given: dict[str, Any] = json.loads(sys.argv[1])
    return given, Limits(**given["limits"])


def _be_quiet() -> None:
    """Whatever a library prints: nobody may have to wait for its reader."""
    os.set_blocking(2, False)


def _watch(life: int) -> None:
    threading.Thread(target=_die_with_parent, args=(life,), daemon=True).start()


def _reply(channel: socket.socket, limits: Limits, work: Callable[[], tuple[bytes, bytes]]) -> None:
    """Send what the work gives, or why it gives nothing."""
    try:
        head, body = work()
    except BadMedia as error:
        head, body = wire.pack_problem(type(error).__name__, str(error))
    except Exception as error:  # whatever a library comes up with: said, then the end
        if _is_out_of_memory(error):
            text = f"decoding needs more than {limits.memory_mb} MB of memory"
            head, body = wire.pack_problem(MediaTooLarge.__name__, text)
        else:
            head, body = wire.pack_problem("SandboxFailed", traceback.format_exc()[-2000:])
    _send(channel, head, body)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether there was no memory for what was decoded, whichever library says so."""
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    return isinstance(error, MemoryError)


def hear(
    media: BinaryIO, seconds: float, longest: float, clock_s: float = math.inf
) -> tuple[SoundPeaks, ...]:
    """The peaks of the media's sound, as far as it can be had in so many CPU seconds, and in
    `clock_s` by the clock, and of no more than the `longest` seconds of it, over all tracks; none
    where there is none.

    Whatever is wrong with a sound, the pictures are judged as if there were none, and their
    coverage is not less for it: what was not heard is evidence that is missing, as in a silent
    file, and sound alone makes no upload judged.
    """
    try:
        return listen(_stretches(media, seconds, longest, clock_s))
    except Exception:  # such as no memory for what was heard
        return ()


def _stretches(
    media: BinaryIO, seconds: float, longest: float, clock_s: float
) -> Iterator[SoundBlock]:
    """What can be decoded; whatever goes wrong is the end, and what came before it counts."""
    left = longest
    try:
        media.seek(0)
        sound = OpenedSound(media)
        for block in sound.blocks(seconds=seconds, clock_s=clock_s, max_s=longest):
            yield block
            left -= len(block.samples) / RATE
            if left <= 0:
                break
    except Exception:  # of the container, the decoder or FFmpeg, whose errors are many
        return


def _warm_up(decoder: PyAvDecoder, parts: FrameParts) -> None:
    """Have the libraries import what they import late: afterwards no file can be opened."""
    Image.init()
    brief.warm()
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name not in _AV_UNUSED:
            importlib.import_module(module.name)
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("PNG", "JPEG", "GIF", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, name)
        fingerprint(decoder.open(file), parts, _WARM_UP, _WARM_SIGNALS)
    video = _small_video(noise)
    fingerprint(decoder.open(video), parts, _WARM_UP, _WARM_SIGNALS)
    if not hear(video, 10.0, 10.0):
        raise SystemExit("the sound of a small video is not heard")


def _small_video(picture: NDArray[np.uint8]) -> io.BytesIO:
    """Two pictures of video, and a second of sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        sound = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        samples = np.resize(picture.astype(np.int16) << 6, (1, 16_000))
        heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        heard.sample_rate = 16_000
        container.mux(sound.encode(heard))
        container.mux(stream.encode(None))
        container.mux(sound.encode(None))
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


def _tell(channel: socket.socket, seen: MediaFingerprints) -> None:
    """Of some pictures, before the answer."""
    _send(channel, *wire.pack_answer(seen, "", part=True))


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
