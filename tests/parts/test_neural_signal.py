"""Descriptors from the file to the verdict, on real parts and with a tiny model made here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from api.settings import Settings
from api.wiring import Parts, build
from hashdb.errors import DescriptorUnavailable
from hashdb.model import Action, Reference, Verdict, new_id
from matcher.digest import digest_file
from matcher.policy import load_policy
from tests import media_maker as make
from tests.descriptor_maker import manifest

ALONE = "local = false\nsound = false\nphash = false\n"


def turned(picture: make.Rgb) -> make.Rgb:
    """A little rotated and cropped: another PDQ hash, nearly the same colours at each place."""
    whole = Image.fromarray(picture).rotate(7, Image.Resampling.BICUBIC)
    width, height = make.SIZE
    inner = whole.crop((width // 12, height // 12, width - width // 12, height - height // 12))
    return np.asarray(inner.resize(make.SIZE, Image.Resampling.BICUBIC))


def opened(folder: Path, rules: str = "neural = true\n", **fields: Any) -> Parts:
    policy = folder / "policy.toml"
    policy.write_text(f'version = "test"\n[signals]\n{ALONE}{rules}')
    settings = {
        "SEAWALL_DATA_DIR": str(folder / "data"),
        "SEAWALL_POLICY": str(policy),
        "SEAWALL_DESCRIPTOR": str(manifest(folder, **fields)),
    }
    return build(Settings.from_env(settings))


@pytest.fixture(scope="module")
def original() -> bytes:
    return make.video(make.scenes(24.0, 10, seed=3), rate=10, gop=20)


@pytest.fixture(scope="module")
def copy() -> bytes:
    """Seconds 4 to 20 of it, between other footage."""
    shown = [turned(p) for p in make.scenes(24.0, 10, seed=3)[40:200]]
    around = make.scenes(12.0, 10, seed=9)
    return make.video([*around[:60], *shown, *around[60:]], rate=10, gop=20)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = opened(tmp_path)
    with_banks(made)
    yield made
    made.close()


def with_banks(parts: Parts) -> None:
    with parts.store.begin() as tx:
        tx.banks.create("attacks")
        tx.banks.create("news", Action.ALLOW)


def add(parts: Parts, media: bytes, bank: str = "attacks") -> tuple[Reference, bool]:
    file = io.BytesIO(media)
    with parts.store.read() as tx:
        owner = tx.banks.get(bank)
    return parts.enroller.add_media(owner, file, digest_file(file), actor="test")


def check(parts: Parts, media: bytes) -> Verdict:
    file = io.BytesIO(media)
    return parts.checker.check_media("key", new_id("upload"), file, digest_file(file))


def told(verdict: Verdict) -> tuple[str, str]:
    return verdict.action.value, verdict.reason.code


def test_an_edited_copy_is_found_with_its_seconds_and_goes_to_review(
    parts: Parts, original: bytes, copy: bytes
) -> None:
    reference, _ = add(parts, original)
    add(parts, make.video(make.scenes(20.0, 10, seed=5), rate=10))
    verdict = check(parts, copy)
    assert told(verdict) == ("review", "possible_match")
    (found,) = verdict.matches
    assert found.reference.id == reference.id
    assert [s.signal_type for s in found.signals] == ["neural"]
    assert found.score > 0.8
    (pair,) = found.segments
    assert (pair.query.start, pair.query.end) == pytest.approx((6.0, 22.0), abs=1.5)
    assert pair.reference.start - pair.query.start == pytest.approx(-2.0, abs=0.8)
    assert "by neural" in verdict.reason.text
    assert "neural" in verdict.timings_ms


def test_unrelated_footage_is_allowed(parts: Parts, original: bytes) -> None:
    add(parts, original)
    assert told(check(parts, make.video(make.scenes(24.0, 10, seed=6), rate=10))) == (
        "allow",
        "no_match",
    )


def test_the_packaged_policy_leaves_it_off() -> None:
    assert "neural" not in load_policy(None).signals


def test_switched_off_it_counts_for_nothing_and_is_kept_for_later(
    tmp_path: Path, original: bytes, copy: bytes
) -> None:
    made = opened(tmp_path, "neural = false\n")
    with_banks(made)
    reference, _ = add(made, original)
    verdict = check(made, copy)
    assert told(verdict) == ("allow", "no_match")
    made.close()
    again = opened(tmp_path)
    assert told(check(again, copy)) == ("review", "possible_match")
    assert add(again, original) == (reference, False)
    again.close()


def test_descriptors_of_another_model_are_not_compared_and_adding_the_file_makes_them(
    tmp_path: Path, original: bytes, copy: bytes
) -> None:
    made = opened(tmp_path)
    with_banks(made)
    old, _ = add(made, original)
    made.index.refresh()
    made.index.save()
    made.close()
    other = opened(tmp_path, scale=2.0)
    assert other.index.snapshot == "stale"
    assert told(check(other, copy)) == ("allow", "no_match")
    assert other.index.verify().ok
    new, created = add(other, original)
    assert created
    assert new.id != old.id
    assert add(other, original) == (new, False)
    assert check(other, copy).matches[0].reference.id == new.id
    assert other.index.verify().ok
    other.close()


def test_a_reference_of_a_time_without_a_model_is_completed(
    tmp_path: Path, original: bytes, copy: bytes
) -> None:
    policy = tmp_path / "plain.toml"
    policy.write_text(f'version = "test"\n[signals]\n{ALONE}')
    plain = {"SEAWALL_DATA_DIR": str(tmp_path / "data"), "SEAWALL_POLICY": str(policy)}
    before = build(Settings.from_env(plain))
    with_banks(before)
    old, _ = add(before, original)
    assert check(before, original + b"\0").matches[0].reference == old
    before.close()
    made = opened(tmp_path)
    assert told(check(made, copy)) == ("allow", "no_match")
    assert add(made, original)[1]
    assert told(check(made, copy)) == ("review", "possible_match")
    made.close()


def test_a_snapshot_brings_the_descriptors_back(
    tmp_path: Path, original: bytes, copy: bytes
) -> None:
    made = opened(tmp_path)
    with_banks(made)
    add(made, original)
    made.index.refresh()
    made.index.save()
    made.close()
    again = opened(tmp_path)
    assert again.index.snapshot == "good"
    assert told(check(again, copy)) == ("review", "possible_match")
    assert again.index.verify().ok
    again.close()


def test_disabled_and_withdrawn_references_are_not_found(
    parts: Parts, original: bytes, copy: bytes
) -> None:
    reference, _ = add(parts, original)
    for act, expected in (
        (lambda: parts.enroller.set_enabled(reference.id, False, actor="t"), "allow"),
        (lambda: parts.enroller.set_enabled(reference.id, True, actor="t"), "review"),
        (lambda: parts.enroller.withdraw(reference.id, actor="t"), "allow"),
    ):
        act()
        assert check(parts, copy).action.value == expected


def test_an_allow_list_found_by_likeness_alone_takes_nothing_away(
    parts: Parts, original: bytes, copy: bytes
) -> None:
    add(parts, original, "news")
    assert told(check(parts, copy)) == ("allow", "no_match")
    add(parts, copy)
    verdict = check(parts, copy + b"\0")
    assert told(verdict) == ("block", "confident_match")


def test_an_image_and_a_flat_film_are_added_once(parts: Parts) -> None:
    for media in (make.image(make.scene(3)), make.video(make.black(4.0, 10), rate=10)):
        first, created = add(parts, media)
        assert created
        assert add(parts, media) == (first, False)
    assert parts.index.verify().ok


def test_a_model_that_fails_makes_uploads_wait_for_a_person_and_adds_nothing(
    parts: Parts, original: bytes, copy: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, _ = add(parts, original)
    model = parts.enroller._descriptor
    assert model is not None

    def fail(pictures: object) -> None:
        raise DescriptorUnavailable("parts: the model failed")

    monkeypatch.setattr(model, "describe", fail)
    verdict = check(parts, copy)
    assert told(verdict) == ("review", "part_failed")
    assert "descriptor failed" in verdict.reason.text
    assert check(parts, original + b"\0").matches[0].reference == reference
    with pytest.raises(DescriptorUnavailable):
        add(parts, copy)
    with parts.store.read() as tx:
        assert len(tx.banks.references()[0]) == 1
