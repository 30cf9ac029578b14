"""What a value on the command line may be, where click does not know it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from hashdb.errors import BadArgument


def not_empty(_context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """An argument, or each of several: one that is empty is a slip, such as of a script's unset
    variable, and would be read as this folder."""
    if "" in (value if isinstance(value, tuple) else (value,)):
        raise BadArgument(f"{parameter.human_readable_name.strip('.')} is empty")
    return value


def rate(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    """So many a second."""
    if value is not None and not 0 < value < math.inf:  # which NaN is not either
        raise BadArgument(f"--rate: a number of objects a second above 0, not {value}")
    return value


def field(kind: Any) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """What the API's field of that type may be, by the same check."""
    adapter = TypeAdapter(kind)

    def checked(_context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is None:
            return None
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            name = max(parameter.opts, key=len)
            raise BadArgument(f"{name}: {error.errors()[0]['msg']}") from None

    return checked
