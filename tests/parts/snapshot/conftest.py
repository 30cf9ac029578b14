"""A bank, and reference indices over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hashdb.index.exact import ExactIndex
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.hamming import HammingIndex
from hashdb.model import (
    Bank,
)
from hashdb.ports import IndexBackend
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store


@pytest.fixture
def bank(store: Store) -> Bank:
    with store.begin() as tx:
        return tx.banks.create("confirmed")


@pytest.fixture
def other(store: Store, store_url: str) -> Iterator[Store]:
    """The same database, as another process has it open."""
    with closing(Store.open(store_url)) as opened:
        yield opened


@pytest.fixture(params=[ExactIndex, FaissIndex, HammingIndex])
def backend(request: pytest.FixtureRequest) -> Callable[[int], IndexBackend]:
    made: Callable[[int], IndexBackend] = request.param
    return made


@pytest.fixture
def make(store: Store, tmp_path: Path) -> Callable[..., ReferenceIndex]:
    """Opens an index over `store`, its snapshot in the test's folder."""

    def opened(over: Store = store, **options: object) -> ReferenceIndex:
        settings = {"folder": tmp_path / "index", **options}
        engine = settings.pop("engine", FaissIndex)
        index = ReferenceIndex(over, engine, **settings)  # type: ignore[arg-type]
        index.open()
        return index

    return opened
