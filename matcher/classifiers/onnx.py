"""A classifier in this process: an ONNX model run by ONNX Runtime, an optional extra
(`pip install seawall[onnx]`).

What the model file does not say stands in a TOML file beside it, of the same name:

    labels = ["safe", "gore"]        # the outputs in order
    activation = "softmax"           # "none" (default), "softmax" or "sigmoid"
    layout = "NCHW"                  # only where the input's shape leaves it open
    output = "probabilities"         # only where it is not the model's first output
    size = 224                       # only where the input's shape leaves it open
    mean = [0.485, 0.456, 0.406]     # for float inputs: (x / 255 - mean) / std
    std = [0.229, 0.224, 0.225]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hashdb.errors import BadSetting, ClassifierUnavailable
from hashdb.model import Classification
from matcher.onnxfile import ModelManifest, OnnxModel, read_manifest
from matcher.ports import Picture
from matcher.tensor import OddTensor, as_scores

SETTING = "SEAWALL_CLASSIFIER_ONNX"


class Manifest(ModelManifest):
    """What stands beside the model."""

    labels: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    activation: Literal["none", "softmax", "sigmoid"] = "none"


class OnnxClassifier:
    """Runs the model in `path` on one thread of the processor. Threads may share one.

    `labels` replace the manifest's. Raises `BadSetting` where ONNX Runtime is not installed, where
    the model or its manifest cannot be read, or where they do not fit each other.
    """

    def __init__(self, path: Path, labels: Sequence[str] = ()) -> None:
        self.name = f"onnx:{path.stem}"
        try:
            manifest = read_manifest(path.with_suffix(".toml"), Manifest)
        except FileNotFoundError:
            manifest = Manifest()
        self._model = OnnxModel(path, manifest, SETTING)
        self._labels = tuple(labels) or tuple(manifest.labels)
        if not self._labels:
            raise BadSetting(f"{path}: no labels are set, and no manifest names any")
        self._activation = manifest.activation
        try:
            self._scores(self._model.grey())
        except OddTensor as error:
            raise BadSetting(f"{path}: {error}") from None

    def classify(self, pictures: Sequence[Picture]) -> tuple[Classification, ...]:
        """The highest probability of each label over the pictures, (h, w, 3) uint8 RGB each.

        Raises `ClassifierUnavailable` where the model fails or answers no probabilities.
        """
        if not pictures:
            return ()
        try:
            return self._scores(pictures)
        except OddTensor as error:
            raise ClassifierUnavailable(f"{self.name}: {error}") from None

    def _scores(self, pictures: Sequence[Picture]) -> tuple[Classification, ...]:
        outputs = [_activated(table, self._activation) for table in self._model.run(pictures)]
        return as_scores(outputs, len(pictures), self._labels, self.name)


def _activated(
    x: NDArray[np.float64], activation: Literal["none", "softmax", "sigmoid"]
) -> NDArray[np.float64]:
    """Logits as probabilities, along the last dimension."""
    if activation == "sigmoid":
        return 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))
    if activation == "softmax":
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))
    return x
