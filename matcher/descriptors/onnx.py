"""A descriptor model in this process: an ONNX file run by ONNX Runtime, an optional extra
(`pip install seawall[onnx]`), and a TOML file that says what the model is:

    name = "sscd-disc-mixup"
    model = "sscd.onnx"              # beside this file
    licence = "MIT"
    sha256 = "..."                   # of the model's file; checked where it stands here
    size = 288                       # only where the input's shape leaves it open
    layout = "NCHW"                  # likewise
    output = "embedding"             # only where it is not the model's first output
    mean = [0.485, 0.456, 0.406]     # for float inputs: (x / 255 - mean) / std
    std = [0.229, 0.224, 0.225]
    floor = 0.70                     # cosines up to it say nothing
    sure = 0.85                      # cosines from it on say as much as one picture can
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StringConstraints

from hashdb.errors import BadSetting, DescriptorUnavailable
from matcher.onnxfile import ModelManifest, OnnxModel, read_manifest
from matcher.ports import Picture
from matcher.tensor import OddTensor, as_vectors

SETTING = "SEAWALL_DESCRIPTOR"

PICTURES = 1
"""Version of how a frame becomes a model's picture: a square by swscale's bicubic filter."""

_BATCH = 8  # pictures at once where the model takes any number: more cost memory and gain nothing

Cosine = Annotated[float, Field(gt=-1, lt=1, allow_inf_nan=False)]


class Manifest(ModelManifest):
    """What stands beside the model."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    model: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    floor: Cosine
    sure: Cosine


class OnnxDescriptor:
    """A `matcher.ports.DescriptorModel`. Threads may share one.

    `path` is the manifest's. Raises `BadSetting` where ONNX Runtime is not installed, where model
    or manifest cannot be read, or where they do not fit each other.
    """

    def __init__(self, path: Path) -> None:
        try:
            manifest = read_manifest(path, Manifest)
        except FileNotFoundError:
            raise BadSetting(f"{SETTING}: there is no {path}") from None
        if manifest.floor >= manifest.sure:
            raise BadSetting(f"{path}: floor: is not below sure")
        file = path.parent / manifest.model
        self.floor, self.sure = manifest.floor, manifest.sure
        self.model = f"{manifest.name}:{_digest(file, manifest)[:16]}"
        self._onnx = OnnxModel(file, manifest, SETTING)
        self.side = max(self._onnx.layout.height, self._onnx.layout.width)
        try:
            as_vectors(self._onnx.run(self._onnx.grey()), 1)
        except OddTensor as error:
            raise BadSetting(f"{file}: {error}") from None

    def describe(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """As `DescriptorModel.describe`."""
        parts = [pictures[i : i + _BATCH] for i in range(0, len(pictures), _BATCH)]
        try:
            return np.concatenate([as_vectors(self._onnx.run(p), len(p)) for p in parts])
        except OddTensor as error:
            raise DescriptorUnavailable(f"{self.model}: {error}") from None


def _digest(file: Path, manifest: Manifest) -> str:
    """SHA-256 of all that makes vectors comparable: the model's bytes, and what its pictures are
    put through. `floor` and `sure` may change: they are about the comparison."""
    try:
        with file.open("rb") as opened:
            weights = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise BadSetting(f"{file}: cannot be read: {error.strerror}") from None
    if manifest.sha256 not in (None, weights):
        raise BadSetting(f"{file}: its SHA-256 is {weights}, not the manifest's")
    kept = manifest.model_dump(include={"layout", "output", "size", "mean", "std"})
    told = json.dumps({**kept, "weights": weights, "pictures": PICTURES}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
