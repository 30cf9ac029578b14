"""Which engine searches the frame hashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from api import wiring
from api.settings import Settings
from hashdb.errors import BadSetting
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.hamming import HammingIndex
from hashdb.store import Store
from matcher.policy import load_policy


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'seawall.db'}")


def engine(store: Store, tmp_path: Path, index: str) -> object:
    settings = Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path), "SEAWALL_INDEX": index})
    made = wiring.reference_index(settings, store, load_policy(None), None)
    return type(made._state.shelves["pdq"].backend)


def test_each_engine_by_its_name(store: Store, tmp_path: Path) -> None:
    assert engine(store, tmp_path, "faiss") is FaissIndex
    assert engine(store, tmp_path, "hamming") is HammingIndex


def test_auto_goes_by_the_number_of_changes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine(store, tmp_path, "auto") is FaissIndex
    assert engine(store, tmp_path, "") is FaissIndex
    monkeypatch.setattr(wiring, "_MANY_CHANGES", 0)
    assert engine(store, tmp_path, "auto") is HammingIndex


def test_without_numba_it_is_faiss(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "find_spec", lambda name: None)
    monkeypatch.setattr(wiring, "_MANY_CHANGES", 0)
    assert engine(store, tmp_path, "auto") is FaissIndex
    with pytest.raises(BadSetting, match=r"seawall\[fast\]"):
        engine(store, tmp_path, "hamming")


def test_another_name_is_refused() -> None:
    with pytest.raises(BadSetting, match="SEAWALL_INDEX"):
        Settings.from_env({"SEAWALL_INDEX": "milvus"})
