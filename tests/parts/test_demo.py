"""`make demo`, as a newcomer runs it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.services import ROOT

pytestmark = pytest.mark.heavy


def start(**streams: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "demo.py"], cwd=ROOT, start_new_session=True, **streams
    )


def processes_of(group: int) -> list[str]:
    """Command lines of the processes whose session is `group`."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if folder.name.isdigit() and int(stat[3]) == group and stat[0] != "Z":
                found.append((folder / "cmdline").read_text())
        except (OSError, IndexError):
            continue
    return found


def test_blocks_the_copy_and_ends_where_nobody_sits_at_a_terminal() -> None:
    process = start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=300)
    told = out.decode()
    assert process.returncode == 0, told
    assert "BLOCK" in told
    assert "ALLOW" in told
    cut = re.search(r"shows  the reference's +([0-9.]+) s", told)
    assert cut is not None
    assert float(cut.group(1)) == pytest.approx(3.37, abs=0.5)
    assert processes_of(process.pid) == []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_serves_at_a_terminal_until_it_is_interrupted(end: signal.Signals) -> None:
    ours, theirs = pty.openpty()
    process = start(stdin=theirs, stdout=subprocess.PIPE)
    assert process.stdout is not None
    url = ""
    for line in process.stdout:
        if b"while it serves" in line:
            url = line.decode().split()[-1]
        if b"until you press Ctrl-C" in line:
            break
    assert httpx.get(url, follow_redirects=True).status_code == 200
    os.kill(process.pid, end)
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    until = time.monotonic() + 10
    while processes_of(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert processes_of(process.pid) == []
    with pytest.raises(httpx.TransportError):
        httpx.get(url)
    os.close(ours)
    os.close(theirs)
