"""A bank that is padded for the benchmark finds what it found, among features of many others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bench.robustness import padding
from bench.robustness.padding import Padding, _pad_features
from tests.made_world import index_of, panning, reference


def test_features_of_many_others_are_added_beside_those_that_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = index_of(reference(panning(1)), reference(panning(2)))
    state = SimpleNamespace(local=own, names=["a", "b"])
    monkeypatch.setattr(padding, "_described", lambda _: iter([reference(panning(3))]))
    count = len(own.arrays()["codes"])
    _pad_features(state, Padding(0, 3 * count, ()))
    padded = state.local.arrays()
    assert padded.keys() == own.arrays().keys()
    assert len(padded["codes"]) > 2.5 * count
    assert len(padded["tracks"]) == len(padded["references"])
    assert len(state.names) == int(padded["references"].max()) + 1
    for name, array in own.arrays().items():
        np.testing.assert_array_equal(padded[name][: len(array)], array)
    for mine in (0, 1):
        assert len(state.local.pictures(mine)) == len(own.pictures(mine)) > 0
