"""When local features are looked at: always, where the first pass is unsure, or where a caller
says that the upload is suspicious."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import wiring
from api.app import create_app
from api.parts import Parts
from api.settings import Settings
from hashdb.errors import SandboxFailed
from hashdb.model import MediaFingerprints, Role
from matcher.ports import Sampling
from tests.http.conftest import part, problem

MEDIA = Path(__file__).parents[1] / "media"
VIDEO = MEDIA / "o554_movie.mp4"
RECODED = MEDIA / "p555_movie.ogv"
UNRELATED = MEDIA / "o597_bbb.mp4"

Match = Callable[..., TestResponse]


def frames(path: Path, size: tuple[int, int] | None = None) -> Iterator[Any]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            width, height = size or (None, None)
            yield frame.reformat(width, height, "rgb24").to_ndarray()


def crops(source: Path, share: float) -> Iterator[Any]:
    """So much of each side of every picture."""
    for picture in frames(source):
        height, width = (int(share * n) // 2 * 2 for n in picture.shape[:2])
        top, left = (picture.shape[0] - height) // 3, (picture.shape[1] - width) // 3
        yield picture[top : top + height, left : left + width]


def encoded(pictures: Iterable[Any], target: Path, **options: str) -> bytes:
    """Without sound."""
    first, *rest = pictures
    with av.open(str(target), "w") as new:
        out = new.add_stream("libx264", rate=25, options=options)
        out.height, out.width = first.shape[:2]
        for picture in (first, *rest):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            new.mux(out.encode(frame))
        new.mux(out.encode(None))
    return target.read_bytes()


def cropped(source: Path, target: Path, share: float) -> bytes:
    return encoded(crops(source, share), target)


@pytest.fixture(scope="module")
def crop(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A crop of whose hashes none is near the reference's."""
    return cropped(VIDEO, tmp_path_factory.mktemp("crop") / "crop.mp4", 0.6)


@pytest.fixture(scope="module")
def slight(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A crop of whose hashes some are, but not enough to be sure."""
    return cropped(VIDEO, tmp_path_factory.mktemp("crop") / "slight.mp4", 0.9)


@contextmanager
def serving(folder: Path, rules: str) -> Iterator[tuple[Parts, Match]]:
    """A service under those rules, with one video in a bank."""
    folder.mkdir()
    policy = folder / "policy.toml"
    policy.write_text(f'version = "t"\n{rules}\n')
    settings = Settings(
        folder,
        f"sqlite:///{folder / 'seawall.db'}",
        policy=policy,
        max_upload_mb=8,
        rate_limit="100000/minute",
    )
    with closing(wiring.build(settings)) as parts:
        with parts.store.begin() as tx:
            _, secret = tx.access.create(Role.ADMIN, "test")
        headers = {"Authorization": f"Bearer {secret}"}
        client: FlaskClient = create_app(parts, background=False).test_client()
        client.post("/banks", json={"name": "attacks"}, headers=headers)
        data = {"bank": "attacks", "media": part(VIDEO.read_bytes())}
        assert client.post("/references", data=data, headers=headers).status_code == 201

        def match(media: bytes, **fields: str) -> TestResponse:
            sent = {"media": part(media, "upload.mp4"), **fields}
            return client.post("/match", data=sent, headers=headers)

        yield parts, match


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Parts, Match]]:
    folder = tmp_path_factory.mktemp("when") / "data"
    with serving(folder, '[local]\nwhen = "suspicious"') as found:
        yield found


@contextmanager
def looks(parts: Parts) -> Iterator[list[Sequence[str]]]:
    """What each look of the sandbox is asked for."""
    asked: list[Sequence[str]] = []
    real = parts.checker._looker._fingerprint

    def noting(media: BinaryIO, sampling: Sampling, signal_types: Sequence[str], **more: Any):
        asked.append(signal_types)
        return real(media, sampling, signal_types, **more)

    parts.checker._looker._fingerprint = noting
    try:
        yield asked
    finally:
        parts.checker._looker._fingerprint = real


def signals(answer: TestResponse) -> set[str]:
    return {s["signal_type"] for m in answer.json["matches"] for s in m["signals"]}


class TestWhereItIsSaid:
    def test_a_crop_passes_that_nobody_suspects(self, said: tuple[Parts, Match], crop: bytes):
        answer = said[1](crop)
        assert (answer.json["action"], answer.json["reason"]["code"]) == ("allow", "no_match")

    def test_and_is_found_where_the_caller_does(self, said: tuple[Parts, Match], crop: bytes):
        answer = said[1](crop, suspicious="true")
        assert answer.json["action"] == "block"
        assert signals(answer) >= {"local"}

    def test_the_first_look_makes_no_features(self, said: tuple[Parts, Match], crop: bytes):
        with looks(said[0]) as asked:
            said[1](crop)
            assert ["local" in signal_types for signal_types in asked] == [False]
            said[1](crop, suspicious="true")
            assert "local" in asked[1]

    def test_the_same_upload_is_another_one_where_it_is_suspicious(
        self, said: tuple[Parts, Match], crop: bytes
    ):
        _, match = said
        assert match(crop, upload_id="u1").json["action"] == "allow"
        assert match(crop, upload_id="u1").json["action"] == "allow"
        problem(match(crop, upload_id="u1", suspicious="true"), "upload-conflict")
        assert match(crop, upload_id="u2", suspicious="true").json["action"] == "block"

    def test_what_is_neither_true_nor_false_is_refused(
        self, said: tuple[Parts, Match], crop: bytes
    ):
        body = problem(said[1](crop, suspicious="maybe"), "bad-argument")
        assert body["errors"][0]["pointer"] == "/suspicious"


@pytest.fixture(scope="module")
def unsure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Parts, Match]]:
    folder = tmp_path_factory.mktemp("when") / "data"
    with serving(folder, '[local]\nwhen = "unsure"') as found:
        yield found


class TestWhereTheFirstPassIsUnsure:
    def test_a_lead_is_followed(self, unsure: tuple[Parts, Match], slight: bytes):
        with looks(unsure[0]) as asked:
            answer = unsure[1](slight)
        assert answer.json["action"] == "block"
        assert signals(answer) >= {"local"}
        assert answer.json["timings_ms"]["local_look"] > 0
        # it is then sure of all of the upload, so that its ends need no third look
        assert ["local" in signal_types for signal_types in asked] == [False, True]
        assert tuple(asked[1]) == ("local",)

    @pytest.mark.parametrize("path", [RECODED, UNRELATED], ids=["a block", "nothing was hit"])
    def test_what_is_sure_costs_no_second_look(self, unsure: tuple[Parts, Match], path: Path):
        with looks(unsure[0]) as asked:
            unsure[1](path.read_bytes())
        assert not any("local" in signal_types for signal_types in asked)

    def test_suspicious_is_heeded(self, unsure: tuple[Parts, Match], crop: bytes):
        assert unsure[1](crop).json["action"] == "allow"
        assert unsure[1](crop, suspicious="true").json["action"] == "block"

    def test_a_look_that_fails_is_never_plain(self, unsure: tuple[Parts, Match], slight: bytes):
        checker = unsure[0].checker
        real = checker._looker._fingerprint

        def failing(media: BinaryIO, sampling: Sampling, signal_types: Sequence[str], **more: Any):
            if "local" in signal_types:
                raise SandboxFailed("gone")
            return real(media, sampling, signal_types, **more)

        checker._looker._fingerprint = failing
        try:
            answer = unsure[1](slight)
        finally:
            checker._looker._fingerprint = real
        assert answer.json["action"] != "allow"
        assert "part_failed" in answer.json["reason"]["codes"]


def test_what_few_keyframes_show_is_looked_at_closer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Six seconds in the middle of half a minute, of which keyframes show three moments; how it
    moves is taken from the closer look, too."""
    gaps: list[float] = []
    copy = list(islice(crops(VIDEO, 0.6), 25, 175))
    height, width = copy[0].shape[:2]
    other = list(frames(UNRELATED, (width, height)))
    spliced = chain(other[:250], copy, other[230:470])
    upload = encoded(spliced, tmp_path / "upload.mp4", g="50", sc_threshold="0")
    with serving(tmp_path / "data", "") as (parts, match), looks(parts) as asked:
        find = parts.judge.find_local

        def noting(look: MediaFingerprints, **more: Any) -> Any:
            gaps.append(float(np.median(np.diff(look.motion[-1].offsets))))
            return find(look, **more)

        monkeypatch.setattr(parts.judge, "find_local", noting)
        answer = match(upload)
    assert answer.json["action"] == "block"
    local = ["local" in signal_types for signal_types in asked]
    assert local[0]
    assert local[-1]
    assert len(local) > 1
    assert gaps[0] == pytest.approx(2.0, abs=0.01)
    assert gaps[-1] < 0.5
    shown = answer.json["matches"][0]["segments"][0]["query"]
    assert (shown["start"], shown["end"]) == pytest.approx((10, 16), abs=0.3)


def test_a_policy_without_them_holds_none(tmp_path: Path):
    rules = "[signals]\nlocal = false\nsound = false"
    with serving(tmp_path / "data", rules) as (parts, match):
        assert parts.index.local() is None
        assert parts.index.sound() is None
        answer = match(RECODED.read_bytes(), suspicious="true")
        assert answer.json["action"] == "block"
