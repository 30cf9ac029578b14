"""A real model, EfficientNet-Lite0, from the file to the verdict. `make descriptor-model` makes it;
where it is not there the tests are skipped, but fail under CI=true."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from api.settings import Settings
from api.wiring import Parts, build
from bench.edits import Edit, make
from hashdb.model import Verdict, new_id
from matcher.descriptors.onnx import OnnxDescriptor
from matcher.digest import digest_file

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
MEDIA = ROOT / "tests" / "media"
MANIFEST = ROOT / "build" / "descriptor" / "efficientnet-lite0.toml"
BUNNY = MEDIA / "o597_bbb.mp4"
ROCKET = MEDIA / "o084_oa4_launch.webm"
RACE = MEDIA / "o079_Shepard_Calais_1906_FrenchGP.ogv"


@pytest.fixture(scope="module")
def manifest() -> Path:
    if not MANIFEST.exists():
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(f"there is no {MANIFEST}: make descriptor-model")
        pytest.skip("there is no descriptor model: make descriptor-model")
    return MANIFEST


@pytest.fixture
def parts(tmp_path: Path, manifest: Path) -> Iterator[Parts]:
    """Descriptors beside PDQ alone, so that edits which PDQ does not see are theirs to find."""
    policy = tmp_path / "policy.toml"
    signals = "local = false\nsound = false\nphash = false\nneural = true"
    policy.write_text(f'version = "test"\n[signals]\n{signals}\n')
    settings = {
        "SEAWALL_DATA_DIR": str(tmp_path / "data"),
        "SEAWALL_POLICY": str(policy),
        "SEAWALL_DESCRIPTOR": str(manifest),
    }
    made = build(Settings.from_env(settings))
    with made.store.begin() as tx:
        tx.banks.create("attacks")
    yield made
    made.close()


def add(parts: Parts, path: Path) -> str:
    with parts.store.read() as tx:
        bank = tx.banks.get("attacks")
    with path.open("rb") as media:
        reference, _ = parts.enroller.add_media(bank, media, digest_file(media), actor="test")
    return reference.id


def check(parts: Parts, path: Path) -> Verdict:
    with path.open("rb") as media:
        return parts.checker.check_media("key", new_id("upload"), media, digest_file(media))


def test_what_looks_alike_lies_near_and_what_does_not_lies_apart(manifest: Path) -> None:
    """Weights laid out wrongly would not tell noise from a slope of grey."""
    model = OnnxDescriptor(manifest)
    assert model.model.startswith("efficientnet-lite0:")
    assert model.side == 224
    noise = np.random.default_rng(1).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    vectors = model.describe(list(noise))
    assert vectors.shape == (3, 1280)
    assert (vectors @ vectors.T).min() > 0.9
    ramp = np.tile(np.linspace(0, 255, 224).astype(np.uint8)[:, None], (224, 1, 3)).reshape(
        224, 224, 3
    )
    assert (model.describe([ramp]) @ vectors.T).max() < 0.6


@pytest.mark.parametrize(
    "filters", ["crop=iw*0.7:ih*0.7", "rotate=0.15", "crop=iw*0.6:ih*0.9,hflip"]
)
def test_an_edited_copy_is_found_by_its_descriptors_and_other_footage_is_not(
    parts: Parts, tmp_path: Path, filters: str
) -> None:
    reference = add(parts, BUNNY)
    add(parts, RACE)
    copy = tmp_path / "copy.mp4"
    make(Edit("edited", filters), BUNNY, copy)
    verdict = check(parts, copy)
    assert verdict.action.value == "review"
    (found,) = verdict.matches
    assert found.reference.id == reference
    assert [s.signal_type for s in found.signals] == ["neural"]
    assert found.segments[0].query.seconds > 5
    assert check(parts, ROCKET).matches == ()
