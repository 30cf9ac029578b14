"""How commands speak: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import click
from tqdm import tqdm

from api.problems import problem
from hashdb.errors import SeawallError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """`--json`, which every command has."""
    option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
    return option(command)


def actor() -> str:
    """Who is at the keyboard, as the audit names them."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli"


def line(value: Mapping[str, Any]) -> None:
    """One JSON object on a line of standard output, at once."""
    print(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")), flush=True)


def text(message: str) -> None:
    """Words for people, on standard output, at once."""
    print(message, flush=True)


def note(message: str) -> None:
    """Words beside the result, on standard error."""
    print(message, file=sys.stderr, flush=True)


def error(problem_of: SeawallError, *, as_json: bool) -> None:
    """What went wrong, on standard error."""
    if as_json:
        print(json.dumps(problem(problem_of), ensure_ascii=False), file=sys.stderr)
    else:
        print(f"seawall: error: {problem_of}", file=sys.stderr)


def progress(things: Iterable[T], *, unit: str, total: int | None = None) -> Iterator[T]:
    """Passes the things on, with a bar on standard error where that is a terminal."""
    yield from tqdm(things, unit=f" {unit}", total=total, disable=None, file=sys.stderr)


def clock(seconds: float) -> str:
    """Presentation time for people: 75.25 is `1:15.2`, 3675 is `1:01:15.0`."""
    minutes, rest = divmod(max(0.0, seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    # Cut, not rounded: 59.97 must not become 60.0.
    rest = int(rest * 10) / 10
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
