"""How commands speak: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from tqdm import tqdm

from api import problems
from api.names import printable
from hashdb.errors import SeawallError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """`--json`, which every command has."""
    option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
    return option(command)


def actor() -> str:
    """Who is at the keyboard, as the audit names them."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli"


def line(value: Mapping[str, Any]) -> None:
    """One JSON object on a line of standard output, at once."""
    _out(json.dumps(value, ensure_ascii=False))


def raw(text: str) -> None:
    """Lines as they are, on standard output."""
    _out(text.removesuffix("\n"))


def result(value: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    """One result, as JSON or in words."""
    _out(json.dumps(value, ensure_ascii=False) if as_json else words)


def note(message: str) -> None:
    """Words beside the result, on standard error."""
    tqdm.write(printable(message), file=sys.stderr)


def _out(message: str) -> None:
    with tqdm.external_write_mode(file=sys.stdout):
        click.echo(printable(message))


def problem(error: Exception) -> dict[str, Any]:
    """The error as an RFC 9457 object, in its own words: who runs a command may see them all."""
    body = problems.problem(error)
    if isinstance(error, SeawallError) and str(error):
        body["detail"] = str(error)
    return body


def file_problem(file: str, error: Exception | None, *, as_json: bool) -> None:
    """A file that nothing could be done with: a result like the others with `--json`."""
    body = problem(error or SeawallError())
    if as_json:
        line({"file": printable(file), "problem": body})
    else:
        note(f"seawall: {file}: {body['detail']}")


def error(raised: SeawallError, *, as_json: bool) -> None:
    """What a command ended with, on standard error."""
    if as_json:
        note(json.dumps(problem(raised), ensure_ascii=False))
    else:
        note(f"seawall: error: {str(raised) or problem(raised)['title']}")


def progress(things: Iterable[T], *, unit: str, total: int | None = None) -> Iterator[T]:
    """Passes the things on, with a bar on standard error where that is a terminal."""
    yield from tqdm(things, unit=f" {unit}", total=total, disable=None, file=sys.stderr)


@contextmanager
def counter(unit: str) -> Iterator[Callable[[int], None]]:
    """A function that counts on, for what has no known end."""
    with tqdm(unit=f" {unit}", disable=None, file=sys.stderr) as bar:

        def told(more: int) -> None:
            bar.update(more)

        yield told


@contextmanager
def fraction(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A function that is told (done, all)."""
    with tqdm(unit=f" {unit}", disable=None, file=sys.stderr) as bar:

        def told(done: int, every: int) -> None:
            bar.total = every
            bar.update(done - bar.n)

        yield told


@contextmanager
def tally(unit: str) -> Iterator[Callable[[int, int, Mapping[str, int]], None]]:
    """A function that is told (done, known so far, how many of each kind)."""
    with tqdm(unit=f" {unit}", disable=None, file=sys.stderr) as bar:

        def told(done: int, known: int, kinds: Mapping[str, int]) -> None:
            bar.total = known
            bar.set_postfix(dict(kinds), refresh=False)
            bar.update(done - bar.n)
            bar.refresh()

        yield told


def clock(seconds: float) -> str:
    """Presentation time for people: 75.25 is `1:15.2`, 3675 is `1:01:15.0`."""
    tenths = int(max(0.0, seconds) * 10 + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    shown = f"{minutes:02d}" if hours else f"{minutes}"
    return f"{f'{hours}:' if hours else ''}{shown}:{rest // 10:02d}.{rest % 10}"
