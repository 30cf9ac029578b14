"""An ONNX file run in this process, by ONNX Runtime, an optional extra (`pip install
seawall[onnx]`): what classifiers and descriptor models have in common.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hashdb.errors import BadSetting
from matcher.ports import Picture
from matcher.tensor import (
    MOST_SIDE,
    Normalise,
    OddTensor,
    as_bytes,
    as_floats,
    batches,
    read_layout,
)

Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModelManifest(BaseModel):
    """How a model wants its pictures, where its file does not say. `output` names the output, if
    not the first; `size` is width and height where the file leaves them open."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    layout: Literal["NCHW", "NHWC"] | None = None
    output: str | None = None
    size: Annotated[int, Field(ge=8, le=MOST_SIDE)] | None = None
    mean: Annotated[list[Number], Field(min_length=3, max_length=3)] = [0.0, 0.0, 0.0]
    std: Annotated[list[Positive], Field(min_length=3, max_length=3)] = [1.0, 1.0, 1.0]


M = TypeVar("M", bound=ModelManifest)


class OnnxModel:
    """The model in `path`, on one thread of the processor. Threads may share one.

    `setting` is named where ONNX Runtime is not installed. Raises `BadSetting`, also where the
    file cannot be read or does not fit its manifest.
    """

    def __init__(self, path: Path, manifest: ModelManifest, setting: str) -> None:
        self._session = _open(path, setting)
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
            self.layout = read_layout(self._input.shape, first, manifest.size)
        except OddTensor as error:
            raise BadSetting(f"{path}: {error}") from None

    def run(self, pictures: Sequence[Picture]) -> list[NDArray[np.float64]]:
        """The output for each batch of (h, w, 3) uint8 RGB pictures; the last batch may have been
        filled up. Raises `OddTensor` where the model fails."""
        return [self._run(batch) for batch in batches(pictures, self.layout)]

    def grey(self) -> list[Picture]:
        """A picture for a trial at the start, so that what does not fit is known then."""
        return [np.full((self.layout.height, self.layout.width, 3), 128, dtype=np.uint8)]

    def _run(self, pictures: Sequence[Picture]) -> NDArray[np.float64]:
        tensor: NDArray[Any]
        if self._input.type == "tensor(uint8)":
            tensor = as_bytes(pictures, self.layout)
        else:
            tensor = as_floats(pictures, self.layout, self._normalise)
        try:
            wanted = None if self._output is None else [self._output]
            output = self._session.run(wanted, {self._input.name: tensor})[0]
            return np.asarray(output, dtype=np.float64)
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            raise OddTensor(f"the model failed: {error}") from None


def read_manifest(path: Path, kind: type[M]) -> M:
    """The TOML file's values. Raises `BadSetting` with the file and the key, and
    `FileNotFoundError`."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path}: cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadSetting(f"{path}: {where}: {first['msg']}") from None


def _open(path: Path, setting: str) -> Any:
    """An onnxruntime.InferenceSession: the processor only, one thread."""
    try:
        import onnxruntime
    except ImportError:
        raise BadSetting(f"{setting} needs ONNX Runtime: pip install 'seawall[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's errors have no common class of their own
        raise BadSetting(f"{path}: is no model that ONNX Runtime can run: {error}") from None
