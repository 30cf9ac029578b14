"""Ways to search descriptors by their cosine, exactly, in CPU seconds on one core.

OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m bench.descriptor.index [--rows 100000]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import faiss
import numpy as np
from numpy.typing import NDArray

from hashdb.index.descriptors import DescriptorIndex
from hashdb.model import Descriptors

WIDE, QUERIES, LEAST, CHUNK = 1280, 60, 0.7, 10_000


def vectors(seed: int, rows: int) -> NDArray[np.float32]:
    made = np.random.default_rng(seed).normal(size=(rows, WIDE)).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


def spent(search: Callable[[], object]) -> float:
    began = time.process_time()
    search()
    return time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    faiss.omp_set_num_threads(1)
    half = faiss.ScalarQuantizer.QT_fp16
    quantised = faiss.IndexScalarQuantizer(WIDE, half, faiss.METRIC_INNER_PRODUCT)
    quantised.train(vectors(0, 1000))
    flat = faiss.IndexFlatIP(WIDE)
    ours = DescriptorIndex()
    for chunk in range(rows // CHUNK):
        some = vectors(chunk, CHUNK)
        quantised.add(some)
        flat.add(some)
        ours.add([(chunk, Descriptors("m", np.arange(float(CHUNK)), some.astype(np.float16)))])
    queries = vectors(0, CHUNK)[:QUERIES]
    print(f"{QUERIES} queries, {rows} rows of {WIDE} numbers, cosines from {LEAST} on; CPU s")
    for name, search in (
        ("DescriptorIndex, half precision", lambda: ours.search(queries, LEAST, 2000)),
        ("FAISS, half precision, range", lambda: quantised.range_search(queries, LEAST)),
        ("FAISS, half precision, 100 nearest", lambda: quantised.search(queries, 100)),
        ("FAISS, single precision, range", lambda: flat.range_search(queries, LEAST)),
    ):
        print(f"{name:>36}  {spent(search):6.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
