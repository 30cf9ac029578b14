"""What computes in a process of ours does so in the threads that we start."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

THREADS = "import os, api.cli; print(len(os.listdir('/proc/self/task')))"


def threads(**more: str) -> int:
    kept = {n: v for n, v in os.environ.items() if n != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env=kept | more, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has no second thread")
def test_numpys_library_starts_none_unless_it_is_told_to() -> None:
    assert threads() == 1
    assert threads(OPENBLAS_NUM_THREADS="2") == 2
