"""One line of the table of routes, and what a view is given and gives back.

The table is the one truth: the routes are registered from it, requests are read and checked by
it, and the API's document is written from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from api.auth import Gate
from api.jobs import Runner
from api.metrics import Metrics
from api.parts import Parts
from api.slots import Queue
from api.uploads import IncomingFile
from hashdb.errors import SeawallError, Unauthenticated
from hashdb.model import Key, Role

PUBLIC: frozenset[Role] = frozenset()


@dataclass(frozen=True, slots=True)
class Service:
    """One process's parts of the API; `stops`: what ends the threads that it has started."""

    parts: Parts
    gate: Gate
    metrics: Metrics
    runner: Runner
    queue: Queue
    document: Mapping[str, Any]
    stops: list[Callable[[], object]] = field(default_factory=list)

    def stop(self) -> None:
        """End the threads in the background; what they have in hand is finished or given back."""
        for stop in self.stops:
            stop()


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and checked by its route's line: `query`, `body` and `form` are of the
    models that the line names; `media` is there where the body was multipart."""

    caller: Key | None
    path: Mapping[str, str]
    query: Any = None
    body: Any = None
    raw: bytes = b""
    form: Any = None
    media: IncomingFile | None = None
    respond_async: bool = False

    @property
    def key(self) -> Key:
        """The caller's key, on routes that need one."""
        if self.caller is None:
            raise Unauthenticated("a key is needed")
        return self.caller


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: a model, or text of `media_type`, or lines as they are made.

    `note` goes into the log line.
    """

    body: BaseModel | str | bytes | Iterator[str] | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    note: Mapping[str, str] = field(default_factory=dict)


View = Callable[[Service, Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """`path` in OpenAPI's spelling; `roles` beside admin, none for everybody without a key;
    `body` (JSON) and `form` (multipart beside the file `media`) are alternatives; `answers`: a
    model or a media type for each status; `errors` beside those that every such route has."""

    method: str
    path: str
    name: str
    view: View
    summary: str
    tag: str
    roles: frozenset[Role]
    answers: Mapping[int, type[BaseModel] | str]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    form: type[BaseModel] | None = None
    errors: tuple[type[SeawallError], ...] = ()
    text: str = ""
    prefer_async: bool = False
