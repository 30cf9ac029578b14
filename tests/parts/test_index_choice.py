"""Which engine searches the frame hashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from api import wiring
from api.settings import Settings
from hashdb.errors import BadSetting
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.growing import GrowingIndex
from hashdb.index.hamming import HammingIndex
from hashdb.model import Digests, Fingerprint, MediaKind
from hashdb.snapshot import ReferenceIndex, SnapshotState
from hashdb.store import Store
from matcher.policy import load_policy


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'seawall.db'}")


def made(store: Store, tmp_path: Path, index: str) -> ReferenceIndex:
    settings = Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path), "SEAWALL_INDEX": index})
    return wiring.reference_index(settings, store, load_policy(None), None)


def engine(index: ReferenceIndex, kind: str = "pdq") -> object:
    """The engine that searches."""
    backend = index._state.shelves[kind].backend
    return type(backend.engine if isinstance(backend, GrowingIndex) else backend)


def add(store: Store, codes: int) -> None:
    rng = np.random.default_rng(codes)
    with store.begin() as tx:
        bank = next(iter(tx.banks.list()), None) or tx.banks.create("attacks")
        some = rng.integers(0, 256, (codes, 32), dtype=np.uint8)
        one = Fingerprint(
            "pdq", "made", some, np.arange(codes) * 1.0, np.zeros(codes), np.full(codes, 100, "u1")
        )
        tx.banks.add_reference(bank, kind=MediaKind.VIDEO, digests=Digests(), fingerprints=[one])


def test_each_engine_by_its_name(store: Store, tmp_path: Path) -> None:
    assert engine(made(store, tmp_path, "faiss")) is FaissIndex
    assert engine(made(store, tmp_path, "hamming")) is HammingIndex


@pytest.mark.parametrize("setting", ["auto", ""])
def test_auto_goes_by_the_number_of_codes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """Whenever there are so many: while it runs, and at a start from the database or a snapshot."""
    monkeypatch.setattr(wiring, "_MANY_CODES", 100)
    index = made(store, tmp_path, setting)
    index.open()
    for _ in range(3):
        add(store, 30)
    index.refresh()
    assert engine(index) is FaissIndex
    add(store, 30)
    index.refresh()
    assert engine(index) is HammingIndex
    assert engine(index, "phash") is FaissIndex
    assert index.sizes()["pdq"] == 120
    assert index.verify().ok
    index.save()
    from_snapshot = made(store, tmp_path, setting)
    from_snapshot.open()
    assert from_snapshot.snapshot is SnapshotState.GOOD
    anew = made(store, tmp_path, setting)
    anew.rebuild(save=False)
    for started in (from_snapshot, anew):
        assert engine(started) is HammingIndex
        assert started.verify().ok


def test_without_numba_it_is_faiss(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "find_spec", lambda name: None)
    monkeypatch.setattr(wiring, "_MANY_CODES", 1)
    add(store, 30)
    index = made(store, tmp_path, "auto")
    index.open()
    assert engine(index) is FaissIndex
    with pytest.raises(BadSetting, match=r"seawall\[fast\]"):
        made(store, tmp_path, "hamming")


def test_another_name_is_refused() -> None:
    with pytest.raises(BadSetting, match="SEAWALL_INDEX"):
        Settings.from_env({"SEAWALL_INDEX": "elsewhere"})


def test_milvus_needs_an_address_and_its_client(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadSetting, match="SEAWALL_MILVUS"):
        made(store, tmp_path, "milvus")
    monkeypatch.setattr(wiring, "find_spec", lambda name: None)
    settings = Settings.from_env(
        {
            "SEAWALL_DATA_DIR": str(tmp_path),
            "SEAWALL_INDEX": "milvus",
            "SEAWALL_MILVUS": "http://127.0.0.1:9",
        }
    )
    with pytest.raises(BadSetting, match=r"seawall\[milvus\]"):
        wiring.reference_index(settings, store, load_policy(None), None)


def test_milvus_is_asked_nothing_before_it_is_opened(store: Store, tmp_path: Path) -> None:
    """`seawall serve` makes an index before it forks; and holds no hashes in memory."""
    settings = Settings.from_env(
        {
            "SEAWALL_DATA_DIR": str(tmp_path),
            "SEAWALL_INDEX": "milvus",
            "SEAWALL_MILVUS": "http://127.0.0.1:9",
        }
    )
    index = wiring.reference_index(settings, store, load_policy(None), None)
    assert index._state.shelves == {}


@pytest.mark.parametrize(
    "address", ["milvus", "tcp://host:1", "http://", "here.db", "http://root:word@host:19530"]
)
def test_an_address_that_is_none_is_refused_without_its_words(address: str) -> None:
    with pytest.raises(BadSetting, match="SEAWALL_MILVUS") as caught:
        Settings.from_env({"SEAWALL_MILVUS": address})
    assert "word@" not in str(caught.value)


def test_the_token_comes_from_a_setting_or_a_file_and_is_not_shown(tmp_path: Path) -> None:
    assert Settings.from_env({"SEAWALL_MILVUS_TOKEN": "root:word"}).milvus_token == "root:word"
    file = tmp_path / "token"
    file.write_text("user:from-file\n")
    kept = Settings.from_env({"SEAWALL_MILVUS_TOKEN_FILE": str(file)})
    assert kept.milvus_token == "user:from-file"
    assert "from-file" not in repr(kept)
    with pytest.raises(BadSetting, match="SEAWALL_MILVUS_TOKEN_FILE"):
        Settings.from_env({"SEAWALL_MILVUS_TOKEN_FILE": str(tmp_path / "none")})
    with pytest.raises(BadSetting, match="not both"):
        Settings.from_env(
            {"SEAWALL_MILVUS_TOKEN_FILE": str(file), "SEAWALL_MILVUS_TOKEN": "root:word"}
        )
