"""Sound from the file to the verdict, on real parts: enrolled, asked about, ruled on."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import pytest

from api.settings import Settings
from api.wiring import Parts, build
from hashdb.model import Action, MediaFingerprints, Reference, Verdict, new_id
from hashdb.store.schema import downgrade, upgrade
from matcher.digest import digest_file
from matcher.ports import Early, Sampling
from matcher.worker import hear
from tests import media_maker as make

MEDIA = Path(__file__).parent.parent / "media"
BUNNY = MEDIA / "o597_bbb.mp4"
ROCKET = MEDIA / "o084_oa4_launch.webm"
RATE = 24_000


def samples_of(path: Path, start: float, seconds: float) -> np.ndarray:
    """Mono float32 at `RATE` of a stretch of a file's sound."""
    resampler = av.AudioResampler("fltp", "mono", RATE)
    with av.open(str(path)) as container:
        frames = [r for f in container.decode(audio=0) for r in resampler.resample(f)]
    whole = np.concatenate([f.to_ndarray()[0] for f in frames])
    return whole[round(start * RATE) : round((start + seconds) * RATE)]


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def film(pictures: Sequence[make.Rgb], samples: np.ndarray | None, rate: int = 10) -> bytes:
    """An MP4 of these pictures with this sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream: Any = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *make.SIZE, "yuv420p"
        track: Any = None if samples is None else out.add_stream("aac", rate=RATE, layout="mono")
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
        for first in range(0, len(samples) if samples is not None else 0, 1024):
            part = samples[None, first : first + 1024]
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(part), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
            out.mux(track.encode(frame))
        if track is not None:
            out.mux(track.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def copy() -> bytes:
    """Four seconds of nothing, then seconds 3 to 15 of the cartoon's sound, under a slide show."""
    heard = np.concatenate([quiet(4.0), 0.7 * samples_of(BUNNY, 3.0, 12.0)])
    return film(make.scenes(16.0, 10, seed=7), heard)


def opened(folder: Path, policy: str = "") -> Parts:
    rules = folder / "policy.toml"
    rules.write_text(f'version = "test"\n{policy}')
    settings = {"SEAWALL_DATA_DIR": str(folder / "data"), "SEAWALL_POLICY": str(rules)}
    return build(Settings.from_env(settings))


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = opened(tmp_path)
    with made.store.begin() as tx:
        tx.banks.create("attacks")
        tx.banks.create("songs", Action.ALLOW)
    yield made
    made.close()


def add(parts: Parts, media: bytes | Path, bank: str = "attacks") -> tuple[Reference, bool]:
    file = io.BytesIO(media.read_bytes() if isinstance(media, Path) else media)
    with parts.store.read() as tx:
        owner = tx.banks.get(bank)
    return parts.enroller.add_media(owner, file, digest_file(file), actor="test")


def check(parts: Parts, media: bytes) -> Verdict:
    file = io.BytesIO(media)
    return parts.checker.check_media("key", new_id("upload"), file, digest_file(file))


class Counting:
    """The sandbox, and how often it was asked."""

    def __init__(self, parts: Parts) -> None:
        self.sandbox = parts.sandbox
        self.calls = 0

    def __call__(
        self,
        media: BinaryIO,
        sampling: Sampling,
        signal_types: Sequence[str],
        *,
        early: Early | None = None,
    ) -> MediaFingerprints:
        self.calls += 1
        return self.sandbox(media, sampling, signal_types, early=early)


def counted(parts: Parts) -> Counting:
    counting = Counting(parts)
    parts.enroller._fingerprint = counting
    return counting


def test_the_same_sound_under_another_picture_is_blocked_with_its_seconds(
    parts: Parts, copy: bytes
) -> None:
    reference, _ = add(parts, BUNNY)
    add(parts, ROCKET)
    verdict = check(parts, copy)
    assert (verdict.action, verdict.reason.code) == (Action.BLOCK, "confident_match")
    (found,) = verdict.matches
    assert found.reference.id == reference.id
    assert [s.signal_type for s in found.signals] == ["sound"]
    (pair,) = found.segments
    assert (pair.query.start, pair.query.end) == pytest.approx((4.0, 16.0), abs=0.7)
    assert (pair.reference.start, pair.reference.end) == pytest.approx((3.0, 15.0), abs=0.7)
    assert pair.reference.start - pair.query.start == pytest.approx(-1.0, abs=0.1)
    assert not verdict.coverage.truncated
    assert verdict.coverage.fraction > 0.9
    assert "sound" in verdict.timings_ms


def test_a_sound_file_with_a_cover_is_listened_to(parts: Parts) -> None:
    add(parts, BUNNY)
    song = make.sound_with_cover(make.scene(5), samples_of(BUNNY, 3.0, 12.0), RATE)
    verdict = check(parts, song)
    assert (verdict.action, verdict.reason.code) == (Action.BLOCK, "confident_match")
    assert verdict.coverage.total_s == pytest.approx(12.0, abs=0.3)
    other = make.sound_with_cover(make.scene(5), samples_of(ROCKET, 0.0, 6.0), RATE)
    assert check(parts, other).action is Action.ALLOW


def test_switched_off_it_counts_for_nothing_and_is_kept_for_later(
    tmp_path: Path, copy: bytes
) -> None:
    made = opened(tmp_path, "[signals]\nsound = false\n")
    with made.store.begin() as tx:
        tx.banks.create("attacks")
    reference, _ = add(made, BUNNY)
    verdict = check(made, copy)
    assert (verdict.action, verdict.matches) == (Action.ALLOW, ())
    with made.store.read() as tx:
        assert "sound" in tx.banks.signal_types(reference.id)
    made.close()
    again = opened(tmp_path)
    assert check(again, copy).action is Action.BLOCK
    again.close()


def test_switched_off_references_are_not_heard(parts: Parts, copy: bytes) -> None:
    reference, _ = add(parts, BUNNY)
    for act, expected in (
        (lambda: parts.enroller.set_enabled(reference.id, False, actor="t"), Action.ALLOW),
        (lambda: parts.enroller.set_enabled(reference.id, True, actor="t"), Action.BLOCK),
        (lambda: parts.enroller.withdraw(reference.id, actor="t"), Action.ALLOW),
    ):
        act()
        assert check(parts, copy).action is expected


def test_an_allowed_song_explains_the_sound_and_not_the_pictures(parts: Parts, copy: bytes) -> None:
    add(parts, BUNNY)
    song = film(make.scenes(20.0, 10, seed=8), samples_of(BUNNY, 0.0, 20.0))
    assert check(parts, song).action is Action.BLOCK
    add(parts, song, "songs")
    verdict = check(parts, copy)
    assert (verdict.action, verdict.reason.code) == (Action.ALLOW, "allow_listed")
    again = io.BytesIO()
    with av.open(str(BUNNY)) as source, av.open(again, "w", format="mp4") as out:
        stream = source.streams.video[0]
        target = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = target
                out.mux(packet)
    pictures = check(parts, again.getvalue())
    assert pictures.action is Action.BLOCK
    assert "sound" not in {s.signal_type for m in pictures.matches for s in m.signals}


def test_a_black_film_is_found_by_its_sound_also_by_an_index_made_anew(
    parts: Parts, copy: bytes
) -> None:
    reference, _ = add(parts, film(make.black(20.0, 10), samples_of(BUNNY, 0.0, 20.0)))
    assert reference.frames == 0
    for _ in range(2):
        verdict = check(parts, copy)
        assert [m.reference.id for m in verdict.matches] == [reference.id]
        assert parts.index.verify().ok
        parts.index.rebuild()


def test_sound_alone_makes_no_upload_judged(parts: Parts) -> None:
    song = film(make.halves(10.0, 10), samples_of(BUNNY, 2.0, 10.0))
    assert check(parts, song).reason.code == "only_flat_frames"
    add(parts, BUNNY)
    assert "only_flat_frames" in check(parts, song).reason.codes


@pytest.mark.parametrize(
    "silent",
    [
        lambda: film(make.scenes(4.0, 10), None),
        lambda: film(make.scenes(4.0, 10), quiet(4.0)),
        lambda: make.image(make.scene(3)),
    ],
    ids=["no track", "silence", "image"],
)
def test_a_silent_file_is_added_once(parts: Parts, silent: Callable[[], bytes]) -> None:
    sandbox, media = counted(parts), silent()
    first = add(parts, media)
    assert first[1]
    assert add(parts, media) == (first[0], False)
    assert sandbox.calls == 1
    assert check(parts, media + b"\0").matches[0].reference == first[0]
    assert parts.index.verify().ok


def test_a_film_in_which_nothing_is_seen_or_heard_is_not_replaced(parts: Parts) -> None:
    sandbox, black = counted(parts), film(make.black(4.0, 10), quiet(4.0))
    first, _ = add(parts, black)
    assert add(parts, black) == (first, False)
    assert sandbox.calls == 1
    with parts.store.read() as tx:
        assert tx.banks.signal_types(first.id) == {"pdq", "card", "phash", "local", "sound"}


def test_a_reference_of_a_time_without_sound_is_kept_and_completed_once(
    tmp_path: Path, copy: bytes
) -> None:
    made = opened(tmp_path)
    with made.store.begin() as tx:
        tx.banks.create("attacks")
    old, _ = add(made, BUNNY)
    url = made.settings.database_url
    made.close()
    downgrade(url, "0001")
    upgrade(url)
    made = opened(tmp_path)
    assert check(made, BUNNY.read_bytes() + b"\0").matches[0].reference == old
    assert check(made, copy).action is Action.ALLOW
    sandbox = counted(made)
    new, created = add(made, BUNNY)
    assert created
    assert new.id != old.id
    assert add(made, BUNNY) == (new, False)
    assert sandbox.calls == 1
    assert check(made, copy).matches[0].reference.id == new.id
    assert made.index.verify().ok
    made.close()


def test_a_snapshot_brings_the_sounds_back(tmp_path: Path, copy: bytes) -> None:
    made = opened(tmp_path)
    with made.store.begin() as tx:
        tx.banks.create("attacks")
    add(made, BUNNY)
    made.index.refresh()
    made.index.save()
    made.close()
    again = opened(tmp_path)
    assert again.index.snapshot == "good"
    assert check(again, copy).action is Action.BLOCK
    assert again.index.verify().ok
    again.close()


def test_what_is_left_of_a_broken_sound_is_heard() -> None:
    whole = film(make.scenes(12.0, 10, seed=5), samples_of(BUNNY, 0.0, 12.0))
    data = bytearray(whole)
    with av.open(io.BytesIO(whole)) as container:
        for packet in container.demux(audio=0):
            if packet.pos and packet.pts and packet.pts > 6 * RATE:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    (some,) = hear(io.BytesIO(data), 10.0, 100.0)
    assert len(some) > 50
    assert some.times.max() < 7.0


@pytest.mark.parametrize("data", [b"", b"no media", make.image(make.scene(1))])
def test_what_has_no_sound_gives_none(data: bytes) -> None:
    assert hear(io.BytesIO(data), 10.0, 100.0) == ()


def test_limits_of_listening() -> None:
    with BUNNY.open("rb") as media:
        assert hear(media, -1.0, 100.0) == () or len(hear(media, -1.0, 100.0)[0]) < 200
        (some,) = hear(media, 10.0, 5.0)
    assert some.seconds == pytest.approx(5.0)
