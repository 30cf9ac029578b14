"""Descriptor models: a tiny ONNX graph made here, run by the real ONNX Runtime."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.settings import Settings
from api.wiring import make_descriptor
from hashdb.errors import BadSetting, DescriptorUnavailable
from matcher.descriptors.onnx import Manifest, OnnxDescriptor
from matcher.policy import parse_policy
from matcher.tensor import OddTensor, as_vectors
from tests import media_maker as make
from tests.descriptor_maker import SIDE, graph, manifest

NEURAL = parse_policy(b'version = "t"\n[signals]\nneural = true', "p.toml")


def test_pictures_become_vectors_of_length_one(tmp_path: Path) -> None:
    model = OnnxDescriptor(manifest(tmp_path))
    assert (model.side, model.floor, model.sure) == (SIDE, 0.4, 0.8)
    pictures = [make.scene(n, size=(64, 64)) for n in range(20)]
    vectors = model.describe(pictures)
    assert vectors.shape == (20, 48)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    brighter = model.describe(
        [np.minimum(255, p.astype(int) + 10).astype(np.uint8) for p in pictures]
    )
    cosines = vectors @ brighter.T
    assert np.diag(cosines).min() > 0.98
    assert np.abs(cosines - np.diag(np.diag(cosines))).max() < 0.9


def test_a_picture_of_nothing_has_no_direction(tmp_path: Path) -> None:
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    assert np.abs(OnnxDescriptor(manifest(tmp_path)).describe([grey])).max() < 1e-3


def test_the_model_is_named_by_all_that_makes_vectors_comparable(tmp_path: Path) -> None:
    def named(**fields: Any) -> str:
        return OnnxDescriptor(manifest(tmp_path, **fields)).model

    same = named()
    assert same.startswith("parts:")
    assert named() == same
    assert named(floor=0.1, sure=0.2, licence="another") == same
    digest = hashlib.sha256((tmp_path / "parts.onnx").read_bytes()).hexdigest()
    assert named(sha256=digest) == same
    others = {
        named(mean=[0.5, 0.5, 0.5]),
        named(std=[0.5, 0.5, 0.5]),
        named(output="y"),
        named(scale=2.0),
        named(size=SIDE),
        OnnxDescriptor(manifest(tmp_path, "other")).model,
    }
    assert len(others | {same}) == 7


def test_what_the_model_leaves_open_the_manifest_says(tmp_path: Path) -> None:
    path = manifest(tmp_path, size=64, layout="NCHW")
    graph(tmp_path / "parts.onnx", shape=("n", "c", "h", "w"))
    model = OnnxDescriptor(path)
    assert model.side == 64
    assert model.describe([make.scene(1)]).shape == (1, 3 * 8 * 8)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"licence": None}, "licence: "),
        ({"floor": None}, "floor: "),
        ({"name": "a b"}, "name: "),
        ({"floor": 0.9}, "floor: is not below sure"),
        ({"sure": 1.5}, "sure: "),
        ({"nosuch": 1}, "nosuch: "),
        ({"model": "none.onnx"}, "cannot be read: No such file"),
        ({"sha256": "0" * 64}, "its SHA-256 is"),
        ({"size": 64}, "does not take pictures of 64 x 64"),
        ({"output": "z"}, "the model failed"),
        ({"std": [0.0, 1.0, 1.0]}, "std.0: "),
    ],
)
def test_a_bad_manifest_is_refused_at_the_start(
    tmp_path: Path, fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadSetting, match=complaint):
        OnnxDescriptor(manifest(tmp_path, **fields))


def test_files_that_are_not_there_or_are_no_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="SEAWALL_DESCRIPTOR: there is no"):
        OnnxDescriptor(tmp_path / "none.toml")
    path = manifest(tmp_path)
    (tmp_path / "parts.onnx").write_text("no model")
    with pytest.raises(BadSetting, match="no model that ONNX Runtime can run"):
        OnnxDescriptor(path)
    path.write_text("oops")
    with pytest.raises(BadSetting, match="cannot be read"):
        OnnxDescriptor(path)


def test_a_model_whose_vectors_are_no_numbers_is_refused_at_the_start_or_fails(
    tmp_path: Path,
) -> None:
    path = manifest(tmp_path)
    graph(tmp_path / "parts.onnx", scale=float("nan"))
    with pytest.raises(BadSetting, match="not finite"):
        OnnxDescriptor(path)
    graph(tmp_path / "parts.onnx", scale=1e38)
    model = OnnxDescriptor(manifest(tmp_path, scale=1e38, std=[0.001, 0.001, 0.001]))
    with pytest.raises(DescriptorUnavailable, match="not finite"):
        model.describe([make.scene(1)])


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3, 5), (2, 3), (4, 9000), (0, 3)])
def test_outputs_that_are_no_vectors(shape: tuple[int, ...]) -> None:
    with pytest.raises(OddTensor):
        as_vectors([np.ones(shape)], 4)
    assert as_vectors([np.ones((4, 3, 1, 1)), np.ones((4, 3, 1, 1))], 5).shape == (5, 3)


def test_a_policy_that_wants_descriptors_needs_a_model(tmp_path: Path) -> None:
    env = {"SEAWALL_DATA_DIR": str(tmp_path)}
    assert make_descriptor(Settings.from_env(env)) is None
    with pytest.raises(BadSetting, match="SEAWALL_DESCRIPTOR names no model"):
        make_descriptor(Settings.from_env(env), NEURAL)
    env["SEAWALL_DESCRIPTOR"] = str(manifest(tmp_path))
    assert make_descriptor(Settings.from_env(env), NEURAL) is not None


def test_without_onnx_runtime_the_start_fails_and_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from api.settings import Settings\n"
        "from api.wiring import build\n"
        "build(Settings.from_env())"
    )
    root = Path(__file__).parents[2]
    for given, code in (({"SEAWALL_DESCRIPTOR": str(manifest(tmp_path))}, 1), ({}, 0)):
        env = {"SEAWALL_DATA_DIR": str(tmp_path / "data"), "PATH": "/usr/bin:/bin"} | given
        run = subprocess.run(
            [sys.executable, "-c", program],
            cwd=root,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == code, run.stderr
        if code:
            assert (
                "SEAWALL_DESCRIPTOR needs ONNX Runtime: pip install 'seawall[onnx]'" in run.stderr
            )


DOCS = (Path(__file__).parents[2] / "docs" / "descriptors.md").read_text()


def test_the_documentation_has_every_key_and_its_example_is_a_manifest() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", DOCS, re.MULTILINE)
    named = [key for row in rows for key in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(Manifest.model_fields)
    example = "\n".join(re.findall(r"^    (\w+ = .*)$", DOCS, re.MULTILINE))
    assert Manifest.model_validate(tomllib.loads(example)).name == "sscd-disc-mixup"
