"""Each defect of FAISS's that would lose or mix up entries: ours is free of it.

Where it is cheap and safe, a test beside it shows the defect in FAISS's own class, so that the
reason for our index stays visible. Should such a test fail after an upgrade, then FAISS has
repaired the defect: delete the test, and read docs/decisions/0005 again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from hashdb.format import read_file, write_file
from hashdb.index.faiss_flat import FaissIndex
from hashdb.model import Codes

ROOT = Path(__file__).parents[2]

rng = np.random.default_rng(15)


def codes(n: int, bits: int = 256) -> Codes:
    return rng.integers(0, 256, (n, bits // 8), dtype=np.uint8)


def filled(given: Codes) -> FaissIndex:
    index = FaissIndex(8 * given.shape[1])
    index.add(given, np.arange(len(given)))
    return index


def reloaded(index: FaissIndex, folder: Path) -> FaissIndex:
    """The index after a way through a file, as snapshots take it."""
    stored, ids = index.arrays()
    write_file(folder / "index", "test", {}, {"codes": stored, "ids": ids})
    arrays = read_file(folder / "index", "test").arrays
    copy = FaissIndex(index.bits)
    copy.add(arrays["codes"], arrays["ids"])
    return copy


def found(index: FaissIndex, query: Codes, radius: int) -> list[int]:
    return sorted(index.search(query, radius).ids.tolist())


@pytest.mark.parametrize("bits", [64, 256])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 16, 255, 256, 257])
def test_all_equal_entries_survive_saving_and_loading(tmp_path: Path, n: int, bits: int) -> None:
    code = codes(1, bits)
    index = filled(np.repeat(code, n, axis=0))
    for one in (index, reloaded(index, tmp_path)):
        assert found(one, code, 0) == found(one, code, 31) == list(range(n))


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_equal_entries_among_others_survive_saving_and_loading(tmp_path: Path, n: int) -> None:
    code = codes(1)
    index = filled(np.concatenate([np.repeat(code, n, axis=0), codes(100)]))
    assert found(reloaded(index, tmp_path), code, 31) == list(range(n))


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_faiss_multi_hash_loses_a_full_bucket_when_loaded(tmp_path: Path, n: int) -> None:
    code = codes(1)
    index = faiss.IndexBinaryMultiHash(256, 16, 16)
    index.add(np.repeat(code, n, axis=0))
    assert len(index.range_search(code, 32)[2]) == n
    faiss.write_index_binary(index, str(tmp_path / "index"))
    loaded = faiss.read_index_binary(str(tmp_path / "index"))
    assert loaded.ntotal == n
    assert len(loaded.range_search(code, 32)[2]) == 0


def test_the_radius_is_inclusive() -> None:
    stored, query = np.zeros((1, 32), dtype=np.uint8), np.zeros((1, 32), dtype=np.uint8)
    query[0, :4] = [0xFF, 0xFF, 0xFF, 0x7F]  # 31 bits
    index = filled(stored)
    assert found(index, query, 31) == [0]
    assert found(index, query, 30) == []
    assert found(index, stored, 0) == [0]
    assert found(index, ~stored, 256) == [0]
    assert found(index, ~stored, 255) == []


def test_faiss_range_search_is_strict() -> None:
    index = faiss.IndexBinaryFlat(256)
    index.add(np.zeros((1, 32), dtype=np.uint8))
    query = np.zeros((1, 32), dtype=np.uint8)
    query[0, 0] = 1
    assert len(index.range_search(query, 1)[2]) == 0
    assert len(index.range_search(query, 2)[2]) == 1


def test_removal_keeps_other_ids_right() -> None:
    stored = codes(200, 64)
    index = FaissIndex(64)
    index.add(stored, np.arange(1000, 1200))
    index.remove(np.array([1000, 1005, 1010]))
    for row in range(200):
        left = [] if row in (0, 5, 10) else [1000 + row]
        assert found(index, stored[row : row + 1], 0) == left


def test_faiss_id_map_over_ivf_mixes_up_ids_after_a_removal() -> None:
    stored = codes(200, 64)
    lists = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(64), 64, 4)
    lists.train(stored)
    lists.nprobe = 4
    index = faiss.IndexBinaryIDMap(lists)
    index.add_with_ids(stored, np.arange(1000, 1200))
    index.remove_ids(np.array([1000, 1005, 1010]))  # type: ignore[arg-type]
    distances, ids = index.search(stored[20:30], 1)
    assert not distances.any()
    assert ids.ravel().tolist() == list(range(1023, 1033))  # 1020 to 1029 would be right


def test_a_hot_code_is_found_in_full() -> None:
    code = codes(1)
    near = np.repeat(code, 3000, axis=0)
    near[:, 5] ^= np.arange(3000, dtype=np.uint16).astype(np.uint8)
    assert len(set(found(filled(near), code, 8))) == 3000


def test_faiss_nearest_neighbours_lose_what_is_behind_the_hundredth() -> None:
    code = codes(1)
    index = faiss.IndexBinaryFlat(256)
    index.add(np.repeat(code, 300, axis=0))
    assert len(set(index.search(code, 100)[1].ravel().tolist())) == 100


FORK = """
import os, sys, time
import numpy as np
from hashdb.index.faiss_flat import FaissIndex
rng = np.random.default_rng(0)
codes = rng.integers(0, 256, (5000, 32), dtype=np.uint8)
index = FaissIndex(256)
index.add(codes, np.arange(5000))
assert len(index.search(codes, 31)) == 5000
child = os.fork()
if child == 0:
    os._exit(0 if len(index.search(codes, 31)) == 5000 else 1)
for _ in range(300):
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.1)
os.kill(child, 9)
sys.exit("the child hangs")
"""


def test_a_fork_after_a_search_may_search() -> None:
    """With FAISS's usual OpenMP threads the child would hang in its first search."""
    done = subprocess.run(
        [sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


MAPPED = """
import sys
import faiss, numpy as np
index = faiss.IndexBinaryFlat(64)
index.add(np.zeros((10, 8), dtype=np.uint8))
faiss.write_index_binary(index, sys.argv[1])
mapped = faiss.read_index_binary(sys.argv[1], faiss.IO_FLAG_MMAP_IFC)
mapped.add(np.zeros((1, 8), dtype=np.uint8))
"""


def test_faiss_aborts_on_an_addition_to_a_mapped_index(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAPPED, str(tmp_path / "index")]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode < 0


def test_a_mapped_file_can_be_searched_and_added_to(tmp_path: Path) -> None:
    stored = codes(50)
    write_file(tmp_path / "index", "test", {}, {"codes": stored, "ids": np.arange(50)})
    arrays = read_file(tmp_path / "index", "test").arrays
    index = FaissIndex(256)
    index.add(arrays["codes"], arrays["ids"])
    index.add(stored[:1], np.array([50]))
    index.remove(np.array([1]))
    assert found(index, stored[:1], 0) == [0, 50]
    assert found(index, stored[1:2], 0) == []
