"""Partners that are feeds: what a file and an HTTP service must both do, and what only HTTP can."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from hashdb.errors import BadArgument, PartnerUnavailable
from hashdb.exchange.jsonl import FileFeed, HttpFeed, Line, feed_url, parse_line, split_lines
from hashdb.ports import BadLine, FeedEntry, Partner
from tests.feeds import KEY, Feed, add, serving, withdraw

MakePartner = Callable[[list[dict[str, object]]], Partner]


@pytest.fixture(params=["file", "http"])
def partner_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakePartner]:
    if request.param == "file":

        def in_file(lines: list[dict[str, object]]) -> Partner:
            path = tmp_path / "feed.jsonl"
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
            return FileFeed(path)

        yield in_file
        return
    feed = Feed()
    with serving(feed) as url:

        def over_http(lines: list[dict[str, object]]) -> Partner:
            feed.lines = lines
            return HttpFeed(url, KEY)

        yield over_http


def found(partner: Partner, checkpoint: str | None = None) -> list[tuple[str, str, str]]:
    entries = [e for e in partner.fetch(checkpoint) if isinstance(e, FeedEntry)]
    return [(e.change, e.reference_id, e.checkpoint) for e in entries]


def test_gives_all_changes_in_order(partner_of: MakePartner) -> None:
    partner = partner_of([add(1), add(2), withdraw(3, of=1), add(4), add(5)])
    assert [(change, checkpoint) for change, _, checkpoint in found(partner)] == [
        ("add", "1"),
        ("add", "2"),
        ("withdraw", "3"),
        ("add", "4"),
        ("add", "5"),
    ]


@pytest.mark.parametrize("checkpoint", ["1", "2", "3", "4"])
def test_goes_on_after_a_checkpoint(partner_of: MakePartner, checkpoint: str) -> None:
    partner = partner_of([add(1), add(2), add(3), add(4), add(5)])
    assert [c for _, _, c in found(partner, checkpoint)] == [
        str(n) for n in range(int(checkpoint) + 1, 6)
    ]


def test_has_nothing_after_its_end(partner_of: MakePartner) -> None:
    assert found(partner_of([add(1), add(2)]), "2") == []
    assert found(partner_of([])) == []


def test_carries_an_addition_whole(partner_of: MakePartner) -> None:
    (entry,) = partner_of([add(7)]).fetch(None)
    assert isinstance(entry, FeedEntry)
    assert entry.body == add(7)


def test_passes_over_kinds_of_change_that_it_does_not_know(partner_of: MakePartner) -> None:
    odd = {"checkpoint": "2", "change": "praise", "reference_id": "ref_x"}
    assert [c for _, _, c in found(partner_of([add(1), odd, add(3)]))] == ["1", "3"]


def test_says_that_it_never_gave_a_checkpoint(partner_of: MakePartner) -> None:
    with pytest.raises(PartnerUnavailable):
        found(partner_of([add(1)]), "99")


def unreadable(partner: Partner) -> list[tuple[int, str | None, str | None]]:
    lines = partner.fetch(None)
    return [(b.number, b.reference_id, b.checkpoint) for b in lines if isinstance(b, BadLine)]


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ({"checkpoint": 3, "change": "add", "reference_id": "ref_1"}, ("ref_1", None)),
        ({"checkpoint": "3", "change": "add"}, (None, "3")),
        ({"checkpoint": "3", "change": "add", "reference_id": ""}, (None, "3")),
        ({"checkpoint": "3", "change": "add", "reference_id": "r" * 65}, (None, "3")),
        ({"checkpoint": "3", "change": "add", "reference_id": "\ud800"}, (None, "3")),
        ({"checkpoint": "3", "change": "add", "reference_id": "a\0b"}, (None, "3")),
        ({"checkpoint": "3", "change": ["add"], "reference_id": "ref_1"}, ("ref_1", "3")),
        ({"checkpoint": "3" * 65, "change": "add", "reference_id": "ref_1"}, ("ref_1", None)),
    ],
)
def test_goes_on_after_a_line_whose_members_are_wrong(
    partner_of: MakePartner, line: dict[str, object], known: tuple[str | None, str | None]
) -> None:
    partner = partner_of([add(1), add(2), line, add(4), {}, add(6)])
    assert unreadable(partner) == [(3, *known), (5, None, None)]
    assert [e.checkpoint for e in partner.fetch(None) if isinstance(e, FeedEntry)] == [
        "1", "2", "4", "6",
    ]  # fmt: skip


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null", None])
def test_lines_are_json_objects_that_are_not_too_long(text: bytes | None) -> None:
    assert isinstance(parse_line(Line(7, text)), BadLine)


def test_lines_are_cut_at_their_ends_only() -> None:
    chunks = [b"on", b"e\ntwo\n\nth", b"ree", b"\n", b"broken off"]
    assert list(split_lines(chunks)) == [
        Line(1, b"one"), Line(2, b"two"), Line(4, b"three"), Line(5, b"broken off", ended=False),
    ]  # fmt: skip


@pytest.mark.parametrize("chunks", [[b"x" * 11], [b"x" * 6, b"x" * 6, b"x" * 20], [b"x" * 6] * 2])
def test_lines_have_a_longest_length(chunks: list[bytes]) -> None:
    lines = list(split_lines([*chunks, b"\n", b"y" * 10, b"\n"], limit=10))
    assert lines == [Line(1, None), Line(2, b"y" * 10)]
    assert list(split_lines(chunks, limit=10)) == [Line(1, None, ended=False)]


# A file


def in_file(folder: Path, text: str) -> FileFeed:
    path = folder / "feed.jsonl"
    path.write_text(text)
    return FileFeed(path)


def test_a_file_may_lack_its_last_end(tmp_path: Path) -> None:
    text = json.dumps(add(1)) + "\n" + json.dumps(add(2))
    assert [c for _, _, c in found(in_file(tmp_path, text))] == ["1", "2"]
    bad = text + "\n" + json.dumps(add(3, reference_id="r" * 65))
    assert unreadable(in_file(tmp_path, bad)) == [(3, None, "3")]


def test_a_file_that_ends_in_the_middle_of_a_line_breaks_off(tmp_path: Path) -> None:
    text = json.dumps(add(1)) + "\n" + json.dumps(add(2))
    entries = in_file(tmp_path, text[:-1]).fetch(None)
    assert next(entries).checkpoint == "1"
    with pytest.raises(PartnerUnavailable, match="line 2 "):
        next(entries)


def test_a_file_goes_on_after_a_line_that_could_not_be_read(tmp_path: Path) -> None:
    lines = [add(1), add(2, reference_id="r" * 65), add(3)]
    feed = in_file(tmp_path, "".join(json.dumps(line) + "\n" for line in lines))
    assert [e.checkpoint for e in feed.fetch("2")] == ["3"]


# HTTP


def test_a_broken_connection_gives_every_complete_line_first() -> None:
    feed = Feed([add(n) for n in range(1, 8)], page=5, break_after=3)
    with serving(feed) as url:
        entries = HttpFeed(url, KEY).fetch(None)
        assert [next(entries).checkpoint for _ in range(3)] == ["1", "2", "3"]
        with pytest.raises(PartnerUnavailable):
            next(entries)


def test_a_page_that_ends_before_its_last_lines_end_breaks_off() -> None:
    """A server that ends each answer by closing the connection cannot say that it is whole."""
    page = (json.dumps(add(1)) + "\n" + json.dumps(add(2))).encode()
    feed = Feed(answers=[(200, {"Content-Type": "application/jsonl"}, page)])
    with serving(feed) as url:
        entries = HttpFeed(url, KEY).fetch(None)
        assert next(entries).checkpoint == "1"
        with pytest.raises(PartnerUnavailable, match="last line"):
            next(entries)


def test_asks_page_by_page_with_its_key() -> None:
    feed = Feed([add(n) for n in range(1, 6)], page=2)
    with serving(feed) as url:
        list(HttpFeed(url, KEY).fetch("1"))
    assert feed.asked == [
        ("/exchange/v1/changes?since=1", f"Bearer {KEY}"),
        ("/exchange/v1/changes?since=3", f"Bearer {KEY}"),
    ]


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (401, {}, "refuses the key"),
        (403, {}, "refuses the key"),
        (404, {}, "answered 404"),
        (409, {}, "--from-start"),
        (500, {}, "answered 500"),
        (302, {"Location": "http://127.0.0.1:1/"}, "answered 302"),
        (200, {"Content-Type": "text/html"}, "no feed"),
        (200, {}, "no feed"),
        (200, {"Content-Type": "application/jsonl", "Content-Encoding": "gzip"}, "as gzip"),
    ],
)
def test_other_answers_are_no_feed(status: int, headers: dict[str, str], words: str) -> None:
    feed = Feed(answers=[(status, headers, b"<html>")])
    with serving(feed) as url, pytest.raises(PartnerUnavailable, match=words):
        list(HttpFeed(url, KEY).fetch(None))
    assert len(feed.asked) == 1


def test_of_an_answer_that_does_not_end_only_the_beginning_is_read() -> None:
    given = 0

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal given
            for _ in range(1000):
                given += 4096
                yield b"x" * 4096

    client = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(500, stream=Endless()))
    )
    with pytest.raises(PartnerUnavailable, match="answered 500"):
        list(HttpFeed("http://127.0.0.1:1", KEY, client).fetch(None))
    assert given < 20_000


def test_waits_as_long_as_it_is_asked_to() -> None:
    feed = Feed([add(1)], answers=[(429, {"Retry-After": "7"}, b""), (503, {}, b"")])
    waits: list[float] = []
    with serving(feed) as url:
        entries = list(HttpFeed(url, KEY, sleep=waits.append).fetch(None))
    assert [e.checkpoint for e in entries] == ["1"]
    assert waits == [7.0, 4.0]


def test_does_not_wait_for_ever() -> None:
    feed = Feed(answers=[(429, {"Retry-After": "1000000"}, b"")] * 10)
    waits: list[float] = []
    with serving(feed) as url, pytest.raises(PartnerUnavailable, match="429"):
        list(HttpFeed(url, KEY, sleep=waits.append).fetch(None))
    assert waits == [60.0, 60.0, 60.0]


@pytest.mark.parametrize("link", ["http://127.0.0.1:1/exchange/v1/changes?since=1", ""])
def test_never_takes_its_key_to_another_host_nor_reads_a_page_for_ever(link: str) -> None:
    page = json.dumps(add(1)).encode() + b"\n"
    headers = {"Content-Type": "application/jsonl", "Link": f'<{link}>; rel="next"'}
    feed = Feed(answers=[(200, headers, page)] * 3)
    with serving(feed) as url, pytest.raises(PartnerUnavailable, match="next page"):
        list(HttpFeed(url, KEY).fetch(None))
    assert len(feed.asked) == 1


@pytest.mark.parametrize("ring", [2, 3, 7])
def test_pages_that_lead_back_to_each_other_break_off(ring: int) -> None:
    page = json.dumps(add(1)).encode() + b"\n"
    links = [f'</exchange/v1/changes?since={n % ring}>; rel="next"' for n in range(100)]
    headers = [{"Content-Type": "application/jsonl", "Link": link} for link in links]
    feed = Feed(answers=[(200, each, page) for each in headers])
    with serving(feed) as url, pytest.raises(PartnerUnavailable, match="next page"):
        list(HttpFeed(url, KEY).fetch(None))
    assert len(feed.asked) <= 4 * ring


def test_nobody_there() -> None:
    with pytest.raises(PartnerUnavailable):
        list(HttpFeed("http://127.0.0.1:1", KEY, httpx.Client(timeout=2)).fetch(None))


@pytest.mark.parametrize(
    "url",
    [
        "http://other:8080",
        "http://other:8080/",
        "http://other:8080/exchange/v1/changes",
        "http://other:8080/exchange/v1/changes/",
    ],
)
def test_takes_the_address_with_or_without_the_path(url: str) -> None:
    assert feed_url(url) == "http://other:8080/exchange/v1/changes"


@pytest.mark.parametrize(
    "url", ["ftp://other/", "other:8080", "http://", "https://key@other/", "http://o/?since=3"]
)
def test_refuses_what_is_no_address(url: str) -> None:
    with pytest.raises(BadArgument):
        feed_url(url)
