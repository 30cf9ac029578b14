"""Which pictures of an upload are looked at is drawn by a secret of the installation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest

from api import wiring
from api.settings import Settings
from api.wiring import Parts, build, sampling_key
from hashdb.errors import BadSetting
from hashdb.model import Action, Digests, new_id
from hashdb.store import Store
from matcher.check import Checker
from matcher.digest import digest_file
from matcher.policy import load_policy
from matcher.ports import Sampling

ROCKET = Path(__file__).parent.parent / "media" / "o084_oa4_launch.webm"
KEY = "a secret of sixteen characters, and more"


class Recorder:
    """A sandbox that keeps what it was asked for."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.asked: list[Sampling] = []
        self.frames: list[tuple[float, ...]] = []

    def __call__(
        self, media: BinaryIO, sampling: Sampling, signals: Sequence[str], **given: object
    ) -> object:
        self.asked.append(sampling)
        found = self.parts.sandbox(media, sampling, signals, **given)
        self.frames += [tuple(f.offsets) for f in found.fingerprints[:1]]
        return found


@pytest.fixture
def parts(tmp_path: Path):
    with closing(build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path / "data")}))) as made:
        with made.store.begin() as tx:
            bank = tx.banks.create("attacks")
        with ROCKET.open("rb") as media:
            made.enroller.add_media(bank, media, digest_file(media), actor="test")
        yield made


def looked(parts: Parts, key: str, sha256: str) -> Recorder:
    """How an upload of these bytes is looked at."""
    recorder = Recorder(parts)
    checker = Checker(parts.store, parts.judge, recorder, parts.policy, sampling_key=key)
    with ROCKET.open("rb") as media:
        verdict = checker.check_media("key", new_id("upload"), media, Digests(sha256=sha256))
    assert verdict.action is Action.BLOCK
    return recorder


def test_of_the_same_bytes_the_same_pictures_and_of_others_others(parts: Parts):
    one, again, other = (looked(parts, KEY, 64 * digit) for digit in "aab")
    assert one.frames[0] == again.frames[0]
    assert one.frames[0] != other.frames[0]
    assert one.asked[0].draw == again.asked[0].draw != other.asked[0].draw
    assert looked(parts, KEY + "!", 64 * "a").frames[0] != one.frames[0]
    assert looked(parts, "", 64 * "a").asked[0].draw == 0


def test_the_service_draws(tmp_path: Path):
    """By the key that is set, and by the database's own."""
    draws = []
    for n, more in enumerate(({"SEAWALL_SAMPLING_KEY": KEY}, {"SEAWALL_SAMPLING_KEY": KEY + "!"})):
        env = {"SEAWALL_DATA_DIR": str(tmp_path / str(n)), **more}
        with closing(build(Settings.from_env(env))) as parts:
            recorder = Recorder(parts)
            parts.checker._looker._fingerprint = recorder
            with ROCKET.open("rb") as media:
                parts.checker.check_media("key", new_id("u"), media, Digests(sha256=64 * "a"))
        draws.append(recorder.asked[0].draw)
    assert 0 not in draws
    assert draws[0] != draws[1]


def test_a_closer_look_sees_the_same_pictures(parts: Parts, tmp_path: Path):
    rules = tmp_path / "policy.toml"
    rules.write_text('version = "unsure"\n[local]\nwhen = "unsure"\n')
    recorder = Recorder(parts)
    checker = Checker(parts.store, parts.judge, recorder, load_policy(rules), sampling_key=KEY)
    checker._looker._looks_closer = lambda *_: True
    with ROCKET.open("rb") as media:
        checker.check_media("key", new_id("upload"), media, Digests(sha256=64 * "a"))
    first, closer = recorder.asked[:2]
    assert not closer.windows
    assert first.draw == closer.draw != 0


def test_each_database_has_a_key_of_its_own_that_stays(tmp_path: Path):
    urls = [f"sqlite:///{tmp_path / name}" for name in ("one.db", "two.db")]
    keys = []
    for url in (*urls, urls[0]):
        with closing(Store.open(url)) as store:
            keys.append(store.sampling_key())
    assert keys[0] == keys[2] != keys[1]
    assert all(len(bytes.fromhex(key)) == 32 for key in keys)


def test_a_key_that_is_set_goes_first(tmp_path: Path):
    env = {"SEAWALL_DATA_DIR": str(tmp_path)}
    with closing(Store.open(Settings.from_env(env).database_url)) as store:
        assert sampling_key(Settings.from_env(env), store) == store.sampling_key()
        given = Settings.from_env({**env, "SEAWALL_SAMPLING_KEY": f" {KEY}\n"})
        assert sampling_key(given, store) == KEY
    assert KEY not in repr(given)
    assert wiring.sampling_key is not sampling_key  # or other tests look at other pictures


def test_a_key_that_can_be_guessed_is_refused_and_not_repeated():
    with pytest.raises(BadSetting) as refused:
        Settings.from_env({"SEAWALL_SAMPLING_KEY": "short secret"})
    assert "16" in str(refused.value)
    assert "short" not in str(refused.value)
