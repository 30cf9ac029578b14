"""A tiny descriptor model, made on the spot: what a picture's parts look like, as a vector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

SIDE = 32
GRID = 4


def graph(path: Path, *, shape: Sequence[Any] = ("n", 3, SIDE, SIDE), scale: float = 1.0) -> Path:
    """A model that gives the colours of `GRID` x `GRID` parts of a picture less their mean, (n, 48)
    floats: close for pictures that are brighter, blurred or cut a little, far apart for others."""
    cell = [SIDE // GRID] * 2
    nodes = [
        helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=cell, strides=cell),
        helper.make_node("ReduceMean", ["p"], ["m"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Sub", ["p", "m"], ["s"]),
        helper.make_node("Mul", ["s", "factor"], ["c"]),
        helper.make_node("Flatten", ["c"], ["y"]),
    ]  # fmt: skip
    made = helper.make_graph(
        nodes,
        "parts",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], "d"])],
        [onnx.numpy_helper.from_array(np.array([scale], dtype=np.float32), "factor")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def manifest(folder: Path, name: str = "parts", *, scale: float = 1.0, **fields: Any) -> Path:
    """The model and its manifest in the folder; the manifest's path. `fields` go beside or instead
    of those that it has; None takes one away."""
    graph(folder / f"{name}.onnx", scale=scale)
    given = {
        "name": name,
        "model": f"{name}.onnx",
        "licence": "made by the tests",
        "floor": 0.4,
        "sure": 0.8,
    } | fields
    lines = [f"{key} = {_toml(value)}" for key, value in given.items() if value is not None]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines))
    return path


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
