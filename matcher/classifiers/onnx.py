"""A classifier in this process: an ONNX model run by ONNX Runtime, an optional extra
(`pip install seawall[onnx]`).

What the model file does not say stands in a TOML file beside it, of the same name:

    labels = ["safe", "gore"]        # the outputs in order
    activation = "softmax"           # "none" (default), "softmax" or "sigmoid"
    layout = "NCHW"                  # only where the input's shape leaves it open
    output = "probabilities"         # only where it is not the model's first output
    mean = [0.485, 0.456, 0.406]     # for float inputs: (x / 255 - mean) / std
    std = [0.229, 0.224, 0.225]
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hashdb.errors import BadSetting, ClassifierUnavailable
from hashdb.model import Classification
from matcher.classifiers.tensor import (
    Normalise,
    OddTensor,
    as_bytes,
    as_floats,
    as_scores,
    batches,
    read_layout,
)
from matcher.ports import Picture

Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Manifest(BaseModel):
    """What stands beside the model."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    labels: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    layout: Literal["NCHW", "NHWC"] | None = None
    output: str | None = None
    mean: Annotated[list[Number], Field(min_length=3, max_length=3)] = [0.0, 0.0, 0.0]
    std: Annotated[list[Positive], Field(min_length=3, max_length=3)] = [1.0, 1.0, 1.0]


class OnnxClassifier:
    """Runs the model in `path` on one thread of the processor. Threads may share one.

    `labels` replace the manifest's. Raises `BadSetting` where ONNX Runtime is not installed, where
    the model or its manifest cannot be read, or where they do not fit each other.
    """

    def __init__(self, path: Path, labels: Sequence[str] = ()) -> None:
        self.name = f"onnx:{path.stem}"
        self._session = _open(path)
        manifest = _read_manifest(path.with_suffix(".toml"))
        self._labels = tuple(labels) or tuple(manifest.labels)
        if not self._labels:
            raise BadSetting(f"{path}: no labels are set, and no manifest names any")
        self._activation = manifest.activation
        self._output = manifest.output
        self._normalise = Normalise(
            (manifest.mean[0], manifest.mean[1], manifest.mean[2]),
            (manifest.std[0], manifest.std[1], manifest.std[2]),
        )
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in ("tensor(float)", "tensor(uint8)"):
            raise BadSetting(f"{path}: must have one input, of float or uint8")
        self._input = inputs[0]
        first = None if manifest.layout is None else manifest.layout == "NCHW"
        try:
            self._layout = read_layout(self._input.shape, first)
            self._check()
        except OddTensor as error:
            raise BadSetting(f"{path}: {error}") from None

    def classify(self, pictures: Sequence[Picture]) -> tuple[Classification, ...]:
        """The highest probability of each label over the pictures, (h, w, 3) uint8 RGB each.

        Raises `ClassifierUnavailable` where the model fails or answers no probabilities.
        """
        if not pictures:
            return ()
        try:
            outputs = [self._run(batch) for batch in batches(pictures, self._layout)]
            return as_scores(outputs, len(pictures), self._labels, self.name)
        except OddTensor as error:
            raise ClassifierUnavailable(f"{self.name}: {error}") from None

    def _check(self) -> None:
        """A grey picture through the model, so that what does not fit is known at the start."""
        grey = np.full((self._layout.height, self._layout.width, 3), 128, dtype=np.uint8)
        outputs = [self._run(batch) for batch in batches([grey], self._layout)]
        as_scores(outputs, 1, self._labels, self.name)

    def _run(self, pictures: Sequence[Picture]) -> NDArray[np.float64]:
        tensor: NDArray[Any]
        if self._input.type == "tensor(uint8)":
            tensor = as_bytes(pictures, self._layout)
        else:
            tensor = as_floats(pictures, self._layout, self._normalise)
        try:
            wanted = None if self._output is None else [self._output]
            output = self._session.run(wanted, {self._input.name: tensor})[0]
            table = np.asarray(output, dtype=np.float64)
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            raise OddTensor(f"the model failed: {error}") from None
        return _activated(table, self._activation)


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


def _open(path: Path) -> Any:
    """An onnxruntime.InferenceSession: the processor only, one thread."""
    try:
        import onnxruntime
    except ImportError:
        raise BadSetting(
            "SEAWALL_CLASSIFIER_ONNX needs ONNX Runtime: pip install 'seawall[onnx]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's errors have no common class of their own
        raise BadSetting(f"{path}: is no model that ONNX Runtime can run: {error}") from None


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return Manifest()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path}: cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadSetting(f"{path}: {where}: {first['msg']}") from None
