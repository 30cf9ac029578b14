"""Ctrl-C before the program has begun."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.services import Place


def test_an_interrupt_while_all_is_imported_is_quiet(tmp_path: Path) -> None:
    """A module that is imported on the way interrupts the program, as the keyboard would."""
    (tmp_path / "click.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import api.cli"
    program = (sys.executable, "-c", code)
    process = Place(tmp_path / "data", program=program).start(stderr=subprocess.PIPE)
    out, told = process.communicate(timeout=60)
    assert (process.returncode, out, told) == (130, "", "")


def test_afterwards_an_interrupt_is_pythons_again() -> None:
    import api.cli  # noqa: F401

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
