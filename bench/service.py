"""How soon `seawall serve` answers: hashes alone, hashes while long videos are decoded, and videos.

    python -m bench.service [--hashes 1000000] [--rate 100] [--seconds 30] [--work DIR]

The bank holds made-up hashes and two real videos with their local features and sound. Each made-up
scene begins with a real frame's hash of which three bits in ten are turned over, and wanders as
`bench.scale_hashes` says: unrelated scenes lie as far apart as unrelated footage does, of which no
two frames are nearer than some 70 bits. The service, of a worker for each core, and the load are
processes of their own, on loopback. Hash-only requests hold 30 frames; one in ten shows 30 frames
of a reference, each some bits off. They are sent at a fixed rate, and a latency counts from the
moment at which the request was to be sent, so that a service that stands still is charged for all
whom it keeps waiting. Then as many as the service answers, four at a time: a latency is that of one
of four. While videos are decoded, four uploads of 15 minutes in 720p are in hand, sent again as
soon as they are answered, refused ones after `Retry-After`. Clips of 10 s in 720p are sent alone,
one after the other: one that nobody knows, and one of a video of the bank. Last, references are
added by one service while another one on the same data is asked for them: counted is the time
from the answer to the first match. They are withdrawn at the end. A verdict is flushed to the disk
before it is answered, so the first row is what a flush takes without any service.

The bank is kept in `--work` and used again. Times are this machine's, which the load shares.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import av
import numpy as np
from tqdm import tqdm

from api import wiring
from api.settings import Settings
from bench.edits import Edit, make
from bench.index import near_copies
from bench.load import CONNECTIONS, exchanged, post
from bench.scale_hashes import SCENE, real_codes, wandering
from hashdb.model import Action, Codes, Digests, Fingerprint, MediaKind
from tests.services import Place, serving

ROOT = Path(__file__).parent.parent
FRAMES = 300  # of a reference
ASKED = 30  # frames of a request
FLIPPED = 0.3  # part of a real code's bits that a made-up scene has otherwise
RADIUS = 20  # bits that an asked frame is off, at most
CLIP_S, LONG_S = 10, 900
WORK = Path(tempfile.gettempdir()) / "seawall-service"
VIDEOS = ("o597_bbb.mp4", "o084_oa4_launch.webm")
CLIPS = {"known": VIDEOS[0], "unknown": "o554_movie.mp4"}
AT_ONCE = 4
FLUSH = "a flush to the disk"
AS_MANY = f"hashes, {AT_ONCE} at a time"


@dataclass
class Told:
    """What one sort of request was answered: seconds, statuses, milliseconds by stage."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    stages: dict[str, list[float]] = field(default_factory=dict)

    def note(self, seconds: float, status: int, body: bytes) -> None:
        self.statuses[status] += 1
        if status != 200:
            return
        self.seconds.append(seconds)
        for stage, ms in json.loads(body)["timings_ms"].items():
            self.stages.setdefault(stage, []).append(ms)

    def ms(self, percent: float) -> float:
        """Milliseconds within which so many of a hundred were answered."""
        return float(1000 * np.percentile(self.seconds or [float("nan")], percent))

    def row(self, name: str) -> str:
        p50, p99, most = (self.ms(percent) for percent in (50, 99, 100))
        others = {s: n for s, n in sorted(self.statuses.items()) if s != 200}
        answered = f"{len(self.seconds):>8} {p50:>9.1f} {p99:>9.1f} {most:>9.1f}"
        return f"{name:<32} {answered}  {others or ''}"

    def stage_row(self, name: str) -> str:
        parts = (f"{stage} {np.median(ms):.1f}" for stage, ms in self.stages.items())
        return f"{name:<32} {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests are sent, and with which key."""

    url: str
    key: str

    def connect(self) -> http.client.HTTPConnection:
        place = urlsplit(self.url)
        return http.client.HTTPConnection(place.hostname or "", place.port, timeout=600)

    def ask(
        self,
        connection: http.client.HTTPConnection,
        body: bytes,
        kind: str,
        path: str = "/match",
        method: str = "POST",
    ) -> tuple[int, bytes, float]:
        """Status, body and `Retry-After` in seconds."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": kind}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), float(answer.headers.get("Retry-After", 0))


def fill(folder: Path, codes: Codes) -> None:
    """A data folder whose bank holds the codes, one a second, and the `VIDEOS`."""
    parts = wiring.build(Settings.from_env({"SEAWALL_DATA_DIR": str(folder)}))
    try:
        with parts.store.begin() as tx:
            bank = tx.banks.create("attacks", action=Action.BLOCK)
        for start in tqdm(range(0, len(codes), FRAMES), desc="references", disable=None):
            print_ = fingerprint(codes[start : start + FRAMES])
            parts.enroller.add_hashes(
                bank, Digests(), [print_], kind=MediaKind.VIDEO, actor="bench"
            )
        for name in VIDEOS:
            with (ROOT / "tests" / "media" / name).open("rb") as media:
                digests = Digests(sha256=f"{len(name):064x}")  # not its own: it is to be decoded
                parts.enroller.add_media(bank, media, digests, actor="bench")
        parts.index.refresh()
        parts.index.save()
    finally:
        parts.close()


def scenes(real: Codes, n: int, seed: int) -> Codes:
    """`n` made-up codes; see the module's text."""
    rng = np.random.default_rng(seed)
    count = -(-n // SCENE)
    flips = np.packbits(rng.random((count, 256)) < FLIPPED, axis=1)
    begin = real[rng.integers(0, len(real), count)] ^ flips
    return wandering(begin.view(np.uint64), rng)[:n]


def fingerprint(codes: Codes) -> Fingerprint:
    n = len(codes)
    return Fingerprint(
        "pdq", "bench", codes, np.arange(n) + 0.0, np.ones(n), np.full(n, 100, np.uint8)
    )


def bodies(stored: Codes, other: Codes, n: int, rng: np.random.Generator) -> list[bytes]:
    """Requests of `ASKED` frames; one in ten shows what is stored."""
    made = []
    for turn in range(n):
        codes = stored if turn % 10 == 0 else other
        scenes = (len(codes) - ASKED) // FRAMES
        start = int(rng.integers(0, scenes)) * FRAMES
        asked = codes[start : start + ASKED]
        asked = near_copies(asked, RADIUS, rng) if turn % 10 == 0 else asked
        made.append(body_of(asked))
    return made


def body_of(codes: Codes) -> bytes:
    """A request that asks for these frames, one a second."""
    frames = [
        {"offset": float(i), "hash": code.tobytes().hex(), "quality": 100}
        for i, code in enumerate(codes)
    ]
    body = {"duration": len(codes), "fingerprints": [{"signal_type": "pdq", "frames": frames}]}
    return json.dumps(body).encode()


def form(media: bytes) -> tuple[bytes, str]:
    """A multipart body with the file, and its Content-Type."""
    head = b'--b\r\nContent-Disposition: form-data; name="media"; filename="m"\r\n\r\n'
    return head + media + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


def clip(folder: Path, name: str) -> Path:
    """10 s of film in 720p, one of `CLIPS`."""
    path = folder / f"{name}.mp4"
    if not path.exists():
        edit = Edit("720p", "scale=1280:720", seconds=CLIP_S, options={"crf": "26"})
        make(edit, ROOT / "tests" / "media" / CLIPS[name], path)
    return path


def looped(path: Path, seconds: float) -> Path:
    """The clip again and again, its packets as they are."""
    target = path.with_name("long.mp4")
    if target.exists():
        return target
    with av.open(str(target), "w") as new, av.open(str(path)) as first:
        out = new.add_stream_from_template(first.streams.video[0])
        for turn in range(round(seconds / CLIP_S)):
            with av.open(str(path)) as old:
                stream = old.streams.video[0]
                assert stream.time_base is not None
                shift = round(turn * CLIP_S / stream.time_base)
                for packet in old.demux(stream):
                    if packet.dts is not None and packet.pts is not None:
                        packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                        packet.stream = out
                        new.mux(packet)
    return target


def load(target: Target, asked: Sequence[bytes], rate: float | None) -> Told:
    """The bodies, sent by a process of its own: at a fixed rate; None: `AT_ONCE` at a time."""
    requests = [post(target.url, "/match", target.key, body) for body in asked]
    told = Told()
    for answer in exchanged(target.url, requests, rate, CONNECTIONS if rate else AT_ONCE):
        told.note(answer.seconds, answer.status, answer.body)
    return told


@contextmanager
def uploading(target: Target, path: Path, uploads: int) -> Iterator[Told]:
    """So many uploads of the file in hand, again and again."""
    body, kind = form(path.read_bytes())
    told, stop = Told(), threading.Event()

    def send() -> None:
        while not stop.is_set():
            connection, began = target.connect(), time.monotonic()
            try:
                status, text, later = target.ask(connection, body, kind)
            except (OSError, http.client.HTTPException):
                return  # the service was stopped
            finally:
                connection.close()
            told.note(time.monotonic() - began, status, text)
            if status != 200:
                stop.wait(later or 1.0)

    threads = [threading.Thread(target=send, daemon=True) for _ in range(uploads)]
    for thread in threads:
        thread.start()
    time.sleep(2.0)  # until they are being decoded
    try:
        yield told
    finally:
        stop.set()


def one_by_one(target: Target, path: Path, n: int) -> Told:
    body, kind = form(path.read_bytes())
    told = Told()
    for _ in range(n):
        connection, began = target.connect(), time.monotonic()
        status, text, _ = target.ask(connection, body, kind)
        connection.close()
        told.note(time.monotonic() - began, status, text)
    return told


def flushes(folder: Path, rate: float, n: int) -> Told:
    """Appends of 8 KB, each flushed to the disk: the least that an answer which is kept takes."""
    told = Told()
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(n):
            file.write(bytes(8192))
            began = time.monotonic()
            os.fdatasync(file.fileno())
            told.seconds.append(time.monotonic() - began)
            time.sleep(1 / rate)
    return told


def spreading(target: Target, other: Target, bank: str, n: int) -> Told:
    """References added by one service: how long until another one matches them."""
    told, rng, added = Told(), np.random.default_rng(7), list[str]()
    adding, asking = target.connect(), other.connect()
    for _ in range(n):
        codes = rng.integers(0, 256, (ASKED, 32), dtype=np.uint8)
        prints = json.loads(body_of(codes))["fingerprints"]
        body = json.dumps({"bank": bank, "fingerprints": prints}).encode()
        status, text, _ = target.ask(adding, body, "application/json", "/references")
        assert status in (200, 201), text
        added.append(json.loads(text)["id"])
        began, matched = time.monotonic(), False
        while not matched:
            status, text, _ = other.ask(asking, body_of(codes), "application/json")
            matches = json.loads(text)["matches"] if status == 200 else []
            matched = any(m["reference_id"] == added[-1] for m in matches)
        told.note(time.monotonic() - began, status, text)
    for reference_id in added:  # so that the bank is the same when it is used again
        path = f"/references/{reference_id}"
        status, text, _ = target.ask(adding, b"", "application/json", path, "DELETE")
        assert status == 200, text
    return told


def measure(target: Target, asked: Sequence[bytes], options: argparse.Namespace) -> dict[str, Told]:
    rows: dict[str, Told] = {FLUSH: flushes(options.work, options.rate, len(asked) // 4)}
    films = {name: clip(options.work, name) for name in CLIPS}
    load(target, asked[: len(asked) // 4], options.rate)  # until all is warm
    rows["hashes alone"] = load(target, asked, options.rate)
    rows[AS_MANY] = load(target, asked, None)
    for name, film in films.items():
        rows[f"10 s of 720p, {name}"] = one_by_one(target, film, options.uploads)
    with uploading(target, looped(films["known"], LONG_S), options.videos) as videos:
        rows["hashes while videos are decoded"] = load(target, asked, options.rate)
    rows["15 min of 720p meanwhile"] = videos
    return rows


def show(rows: Mapping[str, Told]) -> None:
    print(f"{'':<32} {'answered':>8} {'p50 ms':>9} {'p99 ms':>9} {'most ms':>9}  not 200")
    for name, told in rows.items():
        print(told.row(name))
    print("\nmedian ms by stage")
    for name, told in rows.items():
        print(told.stage_row(name))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--hashes", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=100.0, help="hash-only requests a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of load, each time")
    parser.add_argument("--videos", type=int, default=4, help="of 15 minutes in hand at once")
    parser.add_argument("--uploads", type=int, default=20, help="of the clip of 10 s")
    parser.add_argument("--additions", type=int, default=100, help="of references, one by one")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="of the service: one a core"
    )
    parser.add_argument("--work", type=Path, default=WORK)
    return parser


def measured(options: argparse.Namespace) -> dict[str, Told]:
    """Every sort of request, by name."""
    options.work.mkdir(parents=True, exist_ok=True)
    real = real_codes(ROOT / "tests" / "media", options.work)
    stored = scenes(real, options.hashes, seed=1)
    other = scenes(real, 100 * FRAMES, seed=2)
    folder = options.work / f"data-{options.hashes}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=options.work) as made:
            fill(Path(made), stored)
            os.rename(made, folder)
            os.mkdir(made)
    asked = bodies(stored, other, int(options.rate * options.seconds), np.random.default_rng(3))
    place = Place(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the service ends too
    workers = ("--workers", str(options.workers))
    with serving(place, *workers) as service:
        target = Target(service.url, place.key("pipeline"))
        rows = measure(target, asked, options)
        service.kill()  # uploads are in hand: they would be waited for
    with serving(place, *workers) as one, serving(place, *workers) as other:
        key = place.key("admin")
        targets = (Target(one.url, key), Target(other.url, key))
        rows["added by another process"] = spreading(*targets, "attacks", options.additions)
    return rows


def main() -> None:
    show(measured(parser().parse_args()))


if __name__ == "__main__":
    main()
