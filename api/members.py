"""JSON in which an object names a member twice: parsers differ in which of them counts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from pydantic import BaseModel

Place = tuple[int | str, ...]
_PLAIN = frozenset({str, int, float, bool, type(None)})  # what most values are


def sent_twice(raw: bytes, read: BaseModel) -> list[Place]:
    """Where a member is named more than once, in a body that was read as this model.

    Each member has a colon. Where there are no more colons than members were read, none was named
    twice; only a body with one more, be it in a text, is looked at closely.
    """
    return [] if raw.count(b":") == _count(read) else places(raw.decode())


def _count(read: BaseModel) -> int:
    """Members that were sent, in all depths."""
    count = 0
    todo: list[Any] = [read]
    for value in todo:
        if type(value) in _PLAIN:
            continue
        if isinstance(value, dict):
            count += len(value)
            todo += value.values()
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, BaseModel):
            count += len(value.__pydantic_fields_set__)
            todo += value.__dict__.values()
    return count


def places(text: str) -> list[Place]:
    """Where good JSON names a member more than once."""
    found: list[tuple[dict[str, Any], list[str]]] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = Counter(name for name, _ in pairs)
            found.append((made, [name for name, n in names.items() if n > 1]))
        return made

    whole = json.loads(text, object_pairs_hook=members)
    twice = {id(made): names for made, names in found}
    return _named(whole, twice) if twice else []


def _named(whole: Any, twice: dict[int, list[str]]) -> list[Place]:
    named: list[Place] = []
    todo: list[tuple[Place, Any]] = [((), whole)]
    for place, value in todo:
        if isinstance(value, dict):
            named += [(*place, name) for name in twice.get(id(value), [])]
            todo += [((*place, name), each) for name, each in value.items()]
        elif isinstance(value, list):
            todo += [((*place, i), each) for i, each in enumerate(value)]
    return named
