"""A partner that is a feed of JSON lines: another Seawall's over HTTP, or a file.

The format is docs/exchange.md. A line is one change; its `checkpoint` is where to go on after it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from hashdb.errors import BadArgument, PartnerUnavailable
from hashdb.ports import BadLine, FeedEntry

FEED_PATH = "/exchange/v1/changes"
# One line holds one reference. A frame takes about 130 bytes of JSON, so this is 40 hours of
# codes that change three times a second.
MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_ID = 64
CONTENT_TYPE = "application/jsonl"
CHANGES = ("add", "withdraw")
TRIES = 4
LONGEST_WAIT_S = 60.0
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
# Half of a surrogate pair is no text, and PostgreSQL's text holds no NUL.
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")
FROM_START = (
    "its database or file was replaced, or put back to an earlier state. Pull once more with "
    "--from-start, into the same bank: what the bank has already is not doubled"
)


def parse_line(line: Line) -> FeedEntry | BadLine | None:
    """One line as an entry, or why it is none; None for a kind of change that this version does
    not know. Raises `PartnerUnavailable` where it was cut."""
    try:
        body = _json(line.text)
    except ValueError as error:
        if not line.ended:
            raise PartnerUnavailable(f"line {line.number} of the feed is cut off") from None
        return BadLine(line.number, str(error))
    if not isinstance(body, dict):
        return BadLine(line.number, "it is no object")
    found = {member: _text(body, member) for member in ("checkpoint", "change", "reference_id")}
    checkpoint, change, reference_id = found.values()
    if change is not None and change not in CHANGES:
        return None
    if checkpoint is None or change is None or reference_id is None:
        wrong = next(member for member, value in found.items() if value is None)
        why = f"its {wrong!r} is no text of 1 to {MAX_ID} characters"
        return BadLine(line.number, why, reference_id, checkpoint)
    return FeedEntry(change, reference_id, checkpoint, body)


def _json(text: bytes | None) -> Any:
    if text is None:
        raise ValueError("it is too long")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None


def _text(body: dict[str, Any], member: str) -> str | None:
    """The member, if it is text that a database can hold."""
    value = body.get(member)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID or _UNSTORABLE.search(value):
        return None
    return value


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end, `number` from 1; `text` is None where it is too long. `ended`: its
    end was there, so that nothing can have cut it."""

    number: int
    text: bytes | None
    ended: bool = True


def split_lines(
    chunks: Iterable[bytes], limit: int = MAX_LINE_BYTES, numbers: Iterator[int] | None = None
) -> Iterator[Line]:
    """The lines that are not blank; of one longer than `limit` bytes no more is held."""
    numbers = numbers or count(1)
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            yield from _line(next(numbers), [*held, part], size + len(part) > limit)
            held, size = [], 0
        size += len(rest)
        held = held if size <= limit else []
        held.append(rest)
    if size:
        yield from _line(next(numbers), held, size > limit, ended=False)


def _line(number: int, parts: list[bytes], too_long: bool, ended: bool = True) -> Iterator[Line]:
    text = None if too_long else b"".join(parts)
    if text is None or text.strip():
        yield Line(number, text, ended)


class FileFeed:
    """A feed kept in a file of JSON lines: what someone sent, and the fake of the tests."""

    def __init__(self, path: Path) -> None:
        self.name = path.absolute().as_uri()
        self._path = path

    def fetch(self, checkpoint: str | None) -> Iterator[FeedEntry | BadLine]:
        """See `Partner.fetch`. `PartnerUnavailable` also where the file cannot be read, or does
        not hold the checkpoint."""
        passed = checkpoint is None
        for line in self._lines():
            entry = parse_line(line)
            if entry is None:
                continue
            if passed:
                yield entry
            passed = passed or entry.checkpoint == checkpoint
        if not passed:
            raise PartnerUnavailable(
                f"{self._path} does not hold the checkpoint {checkpoint!r}: {FROM_START}"
            )

    def _lines(self) -> Iterator[Line]:
        try:
            with self._path.open("rb") as file:
                yield from split_lines(iter(lambda: file.read(1 << 16), b""))
        except OSError as error:
            raise PartnerUnavailable(f"{self._path}: {error.strerror}") from None


class HttpFeed:
    """Another Seawall's feed, read page by page with a key of role `partner`.

    `url` is the other side's address, with or without the feed's path. Each page is read as a
    stream: one line at a time is held. Redirects are not followed and pages must lie on the same
    host, since the key goes with each request.
    """

    def __init__(
        self,
        url: str,
        key: str,
        client: httpx.Client | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = feed_url(url)
        self._headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"}
        self._client = client or httpx.Client(timeout=TIMEOUT, follow_redirects=False)
        self._sleep = sleep

    def fetch(self, checkpoint: str | None) -> Iterator[FeedEntry | BadLine]:
        """See `Partner.fetch`. `PartnerUnavailable` also where the other side does not answer,
        refuses the key or the checkpoint, or answers something that is no feed."""
        url = self.name
        if checkpoint is not None:
            url = str(httpx.URL(self.name).copy_set_param("since", checkpoint))
        numbers = count(1)
        marked = url  # an earlier page: not all are kept, to find that they go in a ring (Brent)
        for pages in count(1):
            following = yield from self._page(url, numbers)
            if following is None:
                return
            if following in (url, marked):
                raise PartnerUnavailable(f"{self.name}: the next page cannot be {following}")
            url = following
            if pages.bit_count() == 1:  # 1, 2, 4, 8
                marked = url

    def _page(
        self, url: str, numbers: Iterator[int]
    ) -> Generator[FeedEntry | BadLine, None, str | None]:
        """One page's entries; returns the next page's address, if there is one."""
        try:
            with self._opened(url) as response:
                for line in split_lines(response.iter_raw(), numbers=numbers):
                    entry = parse_line(line)
                    if not line.ended:  # more may have followed
                        raise PartnerUnavailable(f"{self.name}: a page lacks its last line's end")
                    if entry is not None:
                        yield entry
                return self._next(response)
        except httpx.HTTPError as error:
            raise PartnerUnavailable(f"{self.name}: {error or type(error).__name__}") from error

    @contextmanager
    def _opened(self, url: str) -> Iterator[httpx.Response]:
        """A page that was answered with 200; asked for again where the other side says later."""
        for attempt in range(1, TRIES + 1):
            with self._client.stream("GET", url, headers=self._headers) as response:
                if response.status_code in (429, 503) and attempt < TRIES:
                    wait = _retry_after(response, attempt)
                else:
                    self._must_be_feed(response)
                    yield response
                    return
            self._sleep(wait)

    def _must_be_feed(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (401, 403):
            raise PartnerUnavailable(
                f"{self.name} refuses the key ({status}): it must be a key of role partner there"
            )
        if status == 409:
            raise PartnerUnavailable(
                f"{self.name} does not know the checkpoint that was kept of it (409): {FROM_START}"
            )
        if status != 200:
            raise PartnerUnavailable(f"{self.name} answered {status}{_detail(response)}")
        kind = response.headers.get("content-type", "").split(";")[0].strip()
        if kind != CONTENT_TYPE:
            raise PartnerUnavailable(f"{self.name} answered {kind or 'no type'}, which is no feed")
        coding = response.headers.get("content-encoding", "identity")
        if coding != "identity":  # what is small may become very large
            raise PartnerUnavailable(
                f"{self.name} sent the feed as {coding}, which was not asked for"
            )

    def _next(self, response: httpx.Response) -> str | None:
        link = response.links.get("next", {}).get("url")
        if link is None:
            return None
        here = str(response.request.url)
        there = urljoin(here, link)
        if urlsplit(there)[:2] != urlsplit(here)[:2]:
            raise PartnerUnavailable(f"{self.name}: the next page cannot be {there}")
        return there


def feed_url(url: str) -> str:
    """The feed's address for what a person typed; `BadArgument` where it is no HTTP address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadArgument(f"{url!r} is no http or https address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadArgument("the address must hold no user, password, query or fragment")
    path = parts.path.rstrip("/")
    if not path.endswith(FEED_PATH):
        path += FEED_PATH
    return f"{parts.scheme}://{parts.netloc}{path}"


def _retry_after(response: httpx.Response, attempt: int) -> float:
    """Seconds to wait: what the other side asks for (RFC 9110, section 10.2.3), else doubling."""
    try:
        asked = float(response.headers.get("retry-after", ""))
    except ValueError:
        asked = 2.0**attempt
    return min(max(asked, 0.0), LONGEST_WAIT_S)


def _detail(response: httpx.Response) -> str:
    """What the other side's problem says, cut to a line."""
    try:
        body = json.loads(next(response.iter_raw(10_000), b""))
        return f": {str(body['detail'])[:200]!r}"
    except (ValueError, KeyError, TypeError):
        return ""
