"""One upload's way on real parts: a real database, index, sandbox and videos."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from copy import copy as copy_of
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image

from api.settings import Settings
from api.wiring import Parts, build
from bench.edits import EDITS, Edit, make
from bench.robustness.timing import even_sides, interleaved
from bench.robustness.video import Coding, endless, read, write
from hashdb.errors import BadArgument, Conflict, SandboxFailed, UploadConflict
from hashdb.model import (
    Action,
    Bank,
    Classification,
    Digests,
    Fingerprint,
    MediaFingerprints,
    MediaKind,
    Orientation,
    Reference,
    Verdict,
    new_id,
)
from matcher.check import Checker
from matcher.digest import digest_file
from matcher.looks import dense_windows
from matcher.ports import Sampling

MEDIA = Path(__file__).parent.parent / "media"
BUNNY = MEDIA / "o597_bbb.mp4"
ROCKET = MEDIA / "o084_oa4_launch.webm"
MOVIE = MEDIA / "o554_movie.mp4"
RACE = MEDIA / "o079_Shepard_Calais_1906_FrenchGP.ogv"
WHAT_MUST_BE_FOUND = {
    "re-encoded",
    "rescaled",
    "recoloured",
    "letterboxed",
    "pillarboxed white",
    "mirrored",
    "rotated by 90",
    "trimmed by 0.37 s",
    "4.3 s from 1.21 s",
    "faster by 10 %",
    "half speed",
    "spliced, 3.2 s",
    "logo",
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """A service with two banked videos, an attack and (in an allow-list) a film."""
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path_factory.mktemp("data"))}))
    with made.store.begin() as tx:
        tx.banks.create("attacks")
        tx.banks.create("films", Action.ALLOW)
    add(made, "attacks", ROCKET)
    add(made, "attacks", RACE)
    yield made
    made.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Parts]:
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path / "data")}))
    with made.store.begin() as tx:
        tx.banks.create("attacks")
        tx.banks.create("films", Action.ALLOW)
    yield made
    made.close()


def bank(parts: Parts, name: str) -> Bank:
    with parts.store.read() as tx:
        return tx.banks.get(name)


def add(parts: Parts, name: str, path: Path) -> Reference:
    with path.open("rb") as media:
        reference, _ = parts.enroller.add_media(
            bank(parts, name), media, digest_file(media), actor="test", source=path.name
        )
    return reference


def check(parts: Parts, path: Path, upload_id: str | None = None, **more: object) -> Verdict:
    with path.open("rb") as media:
        return parts.checker.check_media(
            "key", upload_id or new_id("upload"), media, digest_file(media), **more
        )


def edited(tmp_path: Path, name: str, source: Path, other: Path) -> tuple[Path, Edit, float, float]:
    edit = next(e for e in EDITS if e.name == name)
    target = tmp_path / "copy.mp4"
    return target, edit, *make(edit, source, target, other)


@pytest.mark.parametrize("name", sorted(WHAT_MUST_BE_FOUND))
def test_an_edited_copy_is_blocked_with_its_seconds(parts: Parts, tmp_path: Path, name: str):
    copy, edit, start, end = edited(tmp_path, name, ROCKET, MOVIE)
    verdict = check(parts, copy)
    assert verdict.action is Action.BLOCK, verdict.reason
    assert {m.reference.source for m in verdict.matches} == {ROCKET.name}
    first, last = verdict.matches[0].segments[0], verdict.matches[0].segments[-1]
    assert first.query.start == pytest.approx(start, abs=0.5)
    assert last.query.end == pytest.approx(end, abs=0.5)
    assert first.reference.start == pytest.approx(edit.start, abs=0.5)


def by(verdict: Verdict) -> set[str]:
    return {s.signal_type for m in verdict.matches for s in m.signals}


def test_local_features_are_not_looked_up_where_hashes_found_all(parts: Parts, tmp_path: Path):
    """The camera of the rocket's film moves; what the caller takes for suspicious is looked at by
    all means, and so is what is not blocked by hashes alone."""
    copy, *_ = edited(tmp_path, "re-encoded", ROCKET, MOVIE)
    settled = check(parts, copy)
    assert settled.action is Action.BLOCK
    assert "pdq" in by(settled)
    assert "local" not in by(settled)
    closely = check(parts, copy, suspicious=True)
    assert closely.action is Action.BLOCK
    assert {"pdq", "local"} <= by(closely)
    with parts.store.begin() as tx:
        before = tx.banks.get("attacks")
        tx.banks.update(before.id, action=Action.REVIEW)
    try:
        reviewed = check(parts, copy)
        assert reviewed.action is Action.REVIEW
        assert {"pdq", "local"} <= by(reviewed)
    finally:
        with parts.store.begin() as tx:
            tx.banks.update(before.id, action=Action.BLOCK)


def test_what_settles_an_upload_is_what_blocks_it(parts: Parts, tmp_path: Path):
    """Where hashes find all of an upload to be another bank's, which asks for review only, what
    blocks it beside that is looked up by local features: they may tell that it is no copy."""
    copy, *_ = edited(tmp_path, "re-encoded", ROCKET, MOVIE)
    asked = []

    class Recorded(type(parts.judge)):
        def settled(self, look, matches):
            asked.append([m.reference.bank.name for m in matches])
            return super().settled(look, matches)

    judge = copy_of(parts.judge)
    judge.__class__ = Recorded
    checker = Checker(parts.store, judge, parts.sandbox, parts.policy)
    for action, banks in ((Action.BLOCK, ["attacks"]), (Action.REVIEW, [])):
        with parts.store.begin() as tx:
            tx.banks.update(tx.banks.get("attacks").id, action=action)
        try:
            with copy.open("rb") as media:
                checker.check_media("key", new_id("upload"), media, digest_file(media))
        finally:
            with parts.store.begin() as tx:
                tx.banks.update(tx.banks.get("attacks").id, action=Action.BLOCK)
        assert asked.pop() == banks


CROPPED = Edit("cropped", "crop=iw*0.6:ih*0.6:iw*0.3:ih*0.2")
RE_ENCODED = next(e for e in EDITS if e.name == "re-encoded")


@pytest.mark.parametrize(
    ("source", "edit", "wanted", "signals"),
    [
        (MOVIE, RE_ENCODED, False, set()),
        (ROCKET, RE_ENCODED, False, {"pdq", "phash"}),
        (ROCKET, CROPPED, True, {"local"}),
    ],
    ids=["unknown", "hashes know it", "only local features know it"],
)
def test_all_pictures_are_described_where_half_of_them_show_something(
    parts: Parts,
    tmp_path: Path,
    source: Path,
    edit: Edit,
    wanted: bool,
    signals: set[str],
):
    asked: list[bool] = []

    def sandbox(
        media: BinaryIO, sampling: Sampling, *args: Any, wants_all: Any = None, **given: Any
    ) -> MediaFingerprints:
        def listened(found: MediaFingerprints) -> bool:
            asked.append(wants_all(found))
            return asked[-1]

        listens = None if wants_all is None else listened
        return parts.sandbox(media, sampling, *args, wants_all=listens, **given)

    copy = tmp_path / "copy.mp4"
    make(edit, source, copy, source)
    checker = Checker(parts.store, parts.judge, sandbox, parts.policy)
    with copy.open("rb") as media:
        verdict = checker.check_media("key", new_id("upload"), media, digest_file(media))
    assert asked == [wanted]
    assert by(verdict) == signals
    closely = check(parts, copy, suspicious=True)  # nothing is set aside
    assert verdict.action is closely.action is (Action.BLOCK if signals else Action.ALLOW)
    if wanted:
        assert [m.score for m in verdict.matches] == [m.score for m in closely.matches]
        assert [m.segments for m in verdict.matches] == [m.segments for m in closely.matches]


@pytest.mark.parametrize("path", [BUNNY, MOVIE, MEDIA / "p555_movie.ogv"])
def test_unrelated_videos_are_allowed(parts: Parts, path: Path):
    verdict = check(parts, path)
    assert verdict.action is Action.ALLOW
    assert verdict.matches == ()
    assert verdict.coverage.fraction > 0.95


def test_the_file_itself_is_blocked_without_being_decoded(parts: Parts):
    verdict = check(parts, RACE)
    assert verdict.action is Action.BLOCK
    assert verdict.reason.code == "sha256_match"
    assert "fingerprint" not in verdict.timings_ms
    (segment,) = verdict.matches[0].segments
    assert segment.query.end == segment.reference.end > 19


def test_the_same_upload_gets_the_same_verdict_and_other_bytes_none(parts: Parts):
    one = check(parts, BUNNY, "upload-1")
    assert check(parts, BUNNY, "upload-1") == one
    with pytest.raises(UploadConflict):
        check(parts, ROCKET, "upload-1")


def test_a_caller_that_hashes_gets_what_its_media_would(parts: Parts, tmp_path: Path):
    copy, _, start, end = edited(tmp_path, "mirrored", ROCKET, MOVIE)
    with copy.open("rb") as media:
        look = parts.sandbox(media, Sampling(dense=False), ("pdq",))
    upright = [
        f
        for f in look.fingerprints
        if f.orientation is Orientation.ORIGINAL and f.view.value == "full"
    ]
    verdict = parts.checker.check_hashes(
        "key", new_id("upload"), Digests(), upright, request_digest="x", duration_s=end
    )
    assert verdict.action is Action.BLOCK
    assert verdict.matches[0].alignments == () or verdict.matches[0].signals
    assert verdict.matches[0].segments[-1].query.end == pytest.approx(end, abs=1.0)


def test_only_a_digest_is_never_a_plain_allow(parts: Parts):
    verdict = parts.checker.check_hashes(
        "key", new_id("upload"), Digests(sha256="0" * 64), (), request_digest="y"
    )
    assert verdict.action is Action.REVIEW
    assert verdict.reason.code == "digest_only"


def test_a_reference_needs_something(empty: Parts):
    with pytest.raises(BadArgument):
        empty.enroller.add_hashes(
            bank(empty, "attacks"), Digests(), [], kind=MediaKind.VIDEO, actor="test"
        )


def test_withdrawn_and_disabled_references_match_nothing(empty: Parts, tmp_path: Path):
    copy, *_ = edited(tmp_path, "rescaled", ROCKET, MOVIE)
    reference = add(empty, "attacks", ROCKET)
    assert check(empty, copy).action is Action.BLOCK
    empty.enroller.set_enabled(reference.id, False, actor="test")
    assert check(empty, copy).action is check(empty, ROCKET).action is Action.ALLOW
    empty.enroller.set_enabled(reference.id, True, actor="test")
    assert check(empty, copy).action is Action.BLOCK
    empty.enroller.withdraw(reference.id, actor="test")
    assert check(empty, copy).action is check(empty, ROCKET).action is Action.ALLOW
    again = add(empty, "attacks", ROCKET)
    assert again.id != reference.id
    assert check(empty, copy).action is Action.BLOCK


def test_banned_footage_in_an_allowed_film_is_found_and_the_film_is_not(
    empty: Parts, tmp_path: Path
):
    """The film quotes two seconds of the attack; a pirate puts four others into the film."""
    film = tmp_path / "film.mp4"
    make(Edit("quote", start=0.4, seconds=2.0, splice=5.0), ROCKET, film, MOVIE)
    add(empty, "attacks", ROCKET)
    assert check(empty, film).action is Action.REVIEW
    add(empty, "films", film)
    smaller = tmp_path / "smaller.mp4"
    make(Edit("smaller", "scale=256:-2"), film, smaller)
    allowed = check(empty, smaller)
    assert allowed.action is Action.ALLOW
    assert allowed.reason.code == "allow_listed"
    pirated = tmp_path / "pirated.mp4"
    make(Edit("spliced", start=3.6, seconds=4.4, splice=5.0), ROCKET, pirated, film)
    verdict = check(empty, pirated)
    assert verdict.action is Action.BLOCK
    banned = next(m for m in verdict.matches if m.reference.source == ROCKET.name)
    assert banned.segments[0].query.start == pytest.approx(5.0, abs=0.5)


def test_a_callers_score_raises_and_never_lowers(parts: Parts, tmp_path: Path):
    copy, *_ = edited(tmp_path, "rescaled", ROCKET, MOVIE)
    low = Classification("attack", 0.0, "caller")
    assert check(parts, copy, classifications=[low]).action is Action.BLOCK


class Broken:
    """An index that fails, a decoder that dies on its second call."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.calls = 0

    def search(self, *args: object, **more: object) -> None:
        raise RuntimeError("no memory")

    def may_hit(self, *args: object) -> bool:
        return True

    def local(self) -> None:
        raise RuntimeError("no memory")

    def sound(self) -> None:
        raise RuntimeError("no memory")

    def refresh(self) -> int:
        return 0

    def __call__(self, *args: object, **given: object) -> object:
        self.calls += 1
        if self.calls > 1:
            raise SandboxFailed("died")
        return self.parts.sandbox(*args, **given)


def test_a_failed_index_is_never_a_silent_allow(parts: Parts):
    judge = parts.judge
    broken = Checker(parts.store, _with_index(judge, Broken(parts)), parts.sandbox, parts.policy)
    with BUNNY.open("rb") as media:
        verdict = broken.check_media("key", new_id("upload"), media, digest_file(media))
    assert verdict.action is Action.REVIEW
    assert "index_failed" in verdict.reason.codes


def test_a_failed_second_look_is_said(parts: Parts, tmp_path: Path):
    copy, *_ = edited(tmp_path, "faster by 10 %", ROCKET, MOVIE)
    checker = Checker(parts.store, parts.judge, Broken(parts), parts.policy)
    with copy.open("rb") as media:
        verdict = checker.check_media("key", new_id("upload"), media, digest_file(media))
    assert verdict.action is Action.BLOCK
    assert "part_failed" in verdict.reason.codes


def woven(path: Path, run: int = 3, other_run: int = 8) -> Path:
    """The rocket's film cropped and turned upside down, of which three frames, or so many, are
    shown between each eight of another film; as MPEG-4, for the bytes of x264 differ from run to
    run on a busy machine, and with them, now and then, which look finds it."""
    cropped = (f[30:-30, 40:-40][::-1, ::-1].copy() for f in read(ROCKET, 0.4, 7.0, 24, 480))
    frames = interleaved(
        cropped, endless(BUNNY, 2.0, 24, 480), {"run": run, "other_run": other_run, "insert": True}
    )
    write(path, even_sides(frames), 24, Coding(codec="mpeg4", options={"qscale": "4"}), None)
    return path


WEAVING = "woven c"
"""A key by which the first look sees both films. Evenly it would see one of them alone: keyframes,
four at a time, and the frames that are woven in come at the same pace."""


@pytest.mark.parametrize(
    ("run", "other_run", "key", "apart"),
    [
        pytest.param(3, 8, WEAVING, False, id="by its keyframes"),
        pytest.param(4, 13, "", True, id="taken apart"),
    ],
)
def test_what_is_woven_into_other_footage_is_found(
    parts: Parts, tmp_path: Path, run: int, other_run: int, key: str, apart: bool
):
    checker = Checker(parts.store, parts.judge, parts.sandbox, parts.policy, sampling_key=key)
    with woven(tmp_path / "woven.mp4", run, other_run).open("rb") as media:
        verdict = checker.check_media("key", new_id("upload"), media, digest_file(media))
    assert verdict.action is Action.BLOCK, verdict.reason
    assert {m.reference.source for m in verdict.matches} == {ROCKET.name}
    (segment,) = verdict.matches[0].segments
    assert segment.query.start == pytest.approx(0.0, abs=6.0)
    assert segment.query.end == pytest.approx(verdict.coverage.total_s, abs=8.0)
    assert ("strands_look" in verdict.timings_ms) is apart


def test_a_failed_look_at_strands_is_said(parts: Parts, tmp_path: Path):
    class Failing(Hasty):
        def __call__(
            self, media: BinaryIO, sampling: Sampling, signals: Sequence[str], **more: Any
        ) -> object:
            if sampling.strands:
                raise SandboxFailed("died")
            return self.parts.sandbox(media, sampling, signals, **more)

    checker = Checker(parts.store, parts.judge, Failing(parts), parts.policy)
    with woven(tmp_path / "woven.mp4", 2, 9).open("rb") as media:
        verdict = checker.check_media("key", new_id("upload"), media, digest_file(media))
    assert verdict.action is Action.REVIEW
    assert "part_failed" in verdict.reason.codes


def test_a_look_at_strands_that_ends_early_is_said(parts: Parts, tmp_path: Path):
    checker = Checker(parts.store, parts.judge, Hasty(parts), parts.policy)
    with woven(tmp_path / "woven.mp4", 2, 9).open("rb") as media:
        verdict = checker.check_media("key", new_id("upload"), media, digest_file(media))
    assert verdict.action is Action.REVIEW
    assert "part_failed" in verdict.reason.codes


class Hasty:
    """A sandbox whose looks after the first end at once."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def __call__(
        self,
        media: BinaryIO,
        sampling: Sampling,
        signals: Sequence[str],
        **given: object,
    ) -> object:
        if sampling.windows:
            sampling = replace(sampling, max_frames=1)
        return self.parts.sandbox(media, sampling, signals, **given)


def test_a_second_look_that_ends_early_takes_nothing_away(parts: Parts, tmp_path: Path):
    copy, *_ = edited(tmp_path, "spliced, 5 s", RACE, MOVIE)
    full = check(parts, copy)
    checker = Checker(parts.store, parts.judge, Hasty(parts), parts.policy)
    with copy.open("rb") as media:
        hasty = checker.check_media("key", new_id("upload"), media, digest_file(media))
    assert hasty.action is full.action is Action.BLOCK
    assert "part_failed" in hasty.reason.codes


def test_a_picture_that_is_cut_short_is_no_plain_allow(parts: Parts):
    noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, "JPEG")
    for share in (0.5, 0.9):
        cut = io.BytesIO(whole.getvalue()[: int(share * len(whole.getvalue()))])
        verdict = parts.checker.check_media("key", new_id("upload"), cut, digest_file(cut))
        assert verdict.action is Action.REVIEW
        assert verdict.reason.code == "truncated"


def test_pages_that_are_not_looked_at_are_no_plain_allow(parts: Parts):
    rng = np.random.default_rng(2)
    pages = [Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)) for _ in "ab"]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    verdict = parts.checker.check_media("key", new_id("upload"), file, digest_file(file))
    assert verdict.action is Action.REVIEW
    assert verdict.reason.code == "truncated"


def test_a_file_completes_the_reference_that_came_as_a_digest(empty: Parts, tmp_path: Path):
    with ROCKET.open("rb") as media:
        digests = digest_file(media)
    bare, _ = empty.enroller.add_hashes(
        bank(empty, "attacks"), digests, [], kind=MediaKind.VIDEO, actor="test", origin="theirs"
    )
    exact = check(empty, ROCKET)
    assert exact.action is Action.BLOCK
    assert exact.coverage.total_s > 7  # decoded: the reference knows no seconds
    full = add(empty, "attacks", ROCKET)
    assert full.id != bare.id
    assert full.origin == "theirs"
    assert add(empty, "attacks", ROCKET).id == full.id
    copy, *_ = edited(tmp_path, "rescaled", ROCKET, MOVIE)
    assert check(empty, copy).action is Action.BLOCK
    with empty.store.read() as tx:
        assert tx.banks.reference(bare.id).withdrawn_at is not None


def frames_of(code: bytes, signal_type: str = "pdq", n: int = 5) -> Fingerprint:
    codes = np.frombuffer(code * n, np.uint8).reshape(n, -1)
    quality = np.full(n, 100, np.uint8)
    return Fingerprint(signal_type, "sent", codes, np.arange(float(n)), np.zeros(n), quality)


@pytest.mark.parametrize(
    "sent",
    [frames_of(bytes(32)), frames_of(b"\xff" * 32), frames_of(bytes(range(8)), "videohash", 1)],
    ids=["zeros", "ones", "a signal type that is off"],
)
def test_codes_that_cannot_be_searched_are_no_look(parts: Parts, sent: Fingerprint):
    verdict = parts.checker.check_hashes(
        "key", new_id("upload"), Digests(), [sent], request_digest="d", duration_s=5.0
    )
    assert verdict.action is Action.REVIEW
    assert verdict.reason.code in ("only_flat_frames", "nothing_judged")


def test_hashes_that_a_configured_classifier_cannot_see(parts: Parts):
    class Unasked:
        name = "model"

        def classify(self, pictures: object) -> object:
            raise AssertionError("there is no picture")

    checker = Checker(parts.store, parts.judge, parts.sandbox, parts.policy, classifier=Unasked())
    code = np.random.default_rng(5).integers(0, 256, 32, dtype=np.uint8).tobytes()

    def ask(*scores: Classification) -> Verdict:
        return checker.check_hashes(
            "key",
            new_id("upload"),
            Digests(),
            [frames_of(code)],
            request_digest="c",
            classifications=scores,
        )

    assert ask().action is Action.REVIEW
    assert "classifier_failed" in ask().reason.codes
    assert ask(Classification("attack", 0.1, "caller")).action is Action.ALLOW


def test_a_reference_of_codes_that_match_nothing_is_refused(empty: Parts):
    for useless in (frames_of(bytes(32)), replace(frames_of(b"\xf0" * 32), quality=np.zeros(5))):
        with pytest.raises(BadArgument):
            empty.enroller.add_hashes(
                bank(empty, "attacks"), Digests(), [useless], kind=MediaKind.VIDEO, actor="test"
            )


def test_a_withdrawn_reference_cannot_be_switched_on(empty: Parts):
    reference = add(empty, "attacks", ROCKET)
    empty.enroller.withdraw(reference.id, actor="test")
    with pytest.raises(Conflict):
        empty.enroller.set_enabled(reference.id, True, actor="test")


def _with_index(judge: object, index: object) -> object:
    import copy

    twin = copy.copy(judge)
    twin._index = index
    twin._lookup = copy.copy(judge._lookup)
    twin._lookup._index = index
    return twin


def test_an_image_of_a_banned_video_and_a_banned_image(empty: Parts):
    add(empty, "attacks", BUNNY)
    with BUNNY.open("rb") as media:
        look = empty.sandbox(media, Sampling(dense=False), ("pdq",))
    upright = next(f for f in look.fingerprints if f.orientation is Orientation.ORIGINAL)
    frame = replace(upright.take([5]), offsets=np.zeros(1))
    verdict = empty.checker.check_hashes(
        "key", new_id("upload"), Digests(), [frame], request_digest="i"
    )
    assert verdict.action is Action.BLOCK
    (pair,) = verdict.matches[0].segments
    assert (pair.query.start, pair.query.end) == (0, 0)


def test_no_second_look_at_images_and_none_without_a_match(parts: Parts):
    with BUNNY.open("rb") as media:
        look = parts.sandbox(media, Sampling(dense=False), ("pdq",))
    assert dense_windows((), look) == ()


def test_a_text_file_is_refused(parts: Parts):
    from hashdb.errors import UnsupportedMedia

    text = io.BytesIO(b"hello, world\n" * 100)
    with pytest.raises(UnsupportedMedia):
        parts.checker.check_media("key", new_id("upload"), text, digest_file(text))
