"""Freed memory goes back to the system."""

import platform
import subprocess
import sys

import pytest

from matcher.heap import give_back

# Large blocks that are freed between small ones that live on, as pictures are between features.
FREED_AND_GIVEN_BACK = """
from pathlib import Path
from matcher.heap import give_back

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

large, small = [], []
for _ in range(1000):
    large.append(bytearray(100_000))
    small.append(bytearray(1000))
del large
before = resident()
give_back()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do so themselves")
def test_what_was_freed_is_given_back() -> None:
    asked = [sys.executable, "-c", FREED_AND_GIVEN_BACK]
    given = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    assert float(given) > 50


def test_nothing_is_done_where_the_library_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matcher.heap._trim", None)
    give_back()
