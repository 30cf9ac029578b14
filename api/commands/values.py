"""What a value on the command line may be, where click does not know it."""

from __future__ import annotations

from typing import Any

import click

from hashdb.errors import BadArgument


def not_empty(_context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """An argument, or each of several: one that is empty is a slip, such as of a script's unset
    variable, and would be read as this folder."""
    if "" in (value if isinstance(value, tuple) else (value,)):
        raise BadArgument(f"{parameter.human_readable_name.strip('.')} is empty")
    return value
