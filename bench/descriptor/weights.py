"""Reads the arrays of a PyTorch checkpoint of the legacy format without PyTorch.

The format (torch/serialization.py, `_legacy_save`): five pickles (magic number, version, system,
the object, the keys of its storages), then of each storage its length as i8 and its numbers. The
unpickler here knows what an ordered table of arrays is made of and refuses all else, so that
nothing in the file can run.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}

Array = NDArray[Any]


class _Reader(pickle.Unpickler):
    """Arrays are laid out once their storages were read: `pending` lays one out in its table."""

    def __init__(self, file: BinaryIO, storages: dict[str, Array]) -> None:
        super().__init__(file)
        self._storages = storages
        self.dtypes: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a table of arrays")

    def persistent_load(self, pid: Any) -> str:
        kind, storage, key, _, _, _ = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"{kind!r} is no storage")
        self.dtypes[key] = _DTYPES[storage]
        return str(key)

    def _tensor(
        self, key: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
    ) -> Callable[[], Array]:
        def laid_out() -> Array:
            storage = self._storages[key][offset:]
            steps = [step * storage.itemsize for step in strides]
            return np.lib.stride_tricks.as_strided(storage, shape, steps).copy()

        return laid_out


def read_checkpoint(path: Path) -> dict[str, Array]:
    """The arrays by name. `pickle.UnpicklingError` where the file is anything else."""
    storages: dict[str, Array] = {}
    with path.open("rb") as file:
        reader = _Reader(file, storages)
        if reader.load() != _MAGIC:
            raise pickle.UnpicklingError(f"{path}: not a PyTorch checkpoint of the legacy format")
        reader.load(), reader.load()
        table = reader.load()
        for key in reader.load():
            (length,) = np.frombuffer(file.read(8), "<i8")
            dtype = np.dtype(reader.dtypes[key])
            storages[key] = np.frombuffer(file.read(int(length) * dtype.itemsize), dtype)
    return {name: lay_out() for name, lay_out in table.items()}
