"""Partners that are feeds: what a file and an HTTP service must both do, and what only HTTP can."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from hashdb.errors import BadArgument, PartnerUnavailable
from hashdb.exchange.jsonl import FileFeed, HttpFeed, feed_url, parse_line, split_lines
from hashdb.ports import Partner
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
    return [(e.change, e.reference_id, e.checkpoint) for e in partner.fetch(checkpoint)]


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
    assert entry.body == add(7)


def test_passes_over_kinds_of_change_that_it_does_not_know(partner_of: MakePartner) -> None:
    odd = {"checkpoint": "2", "change": "praise", "reference_id": "ref_x"}
    assert [c for _, _, c in found(partner_of([add(1), odd, add(3)]))] == ["1", "3"]


def test_says_that_it_never_gave_a_checkpoint(partner_of: MakePartner) -> None:
    with pytest.raises(PartnerUnavailable):
        found(partner_of([add(1)]), "99")


@pytest.mark.parametrize(
    "line",
    [
        {"checkpoint": 3, "change": "add", "reference_id": "ref_1"},
        {"checkpoint": "3", "change": "add"},
        {"checkpoint": "3", "change": "add", "reference_id": ""},
        {"checkpoint": "3" * 65, "change": "add", "reference_id": "ref_1"},
    ],
)
def test_refuses_lines_of_no_feed(partner_of: MakePartner, line: dict[str, object]) -> None:
    with pytest.raises(PartnerUnavailable):
        found(partner_of([add(1), line]))


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_lines_must_be_json_objects(line: bytes) -> None:
    with pytest.raises(PartnerUnavailable):
        parse_line(line)


def test_lines_are_cut_at_their_ends_only() -> None:
    chunks = [b"on", b"e\ntwo\n\nth", b"ree", b"\n", b"broken off"]
    assert list(split_lines(chunks)) == [b"one", b"two", b"three"]


@pytest.mark.parametrize("chunks", [[b"x" * 11 + b"\n"], [b"x" * 6, b"x" * 6], [b"x" * 11]])
def test_lines_have_a_longest_length(chunks: list[bytes]) -> None:
    with pytest.raises(PartnerUnavailable, match="more than 10 bytes"):
        list(split_lines(chunks, limit=10))


# HTTP


def test_a_broken_connection_gives_every_complete_line_first() -> None:
    feed = Feed([add(n) for n in range(1, 8)], page=5, break_after=3)
    with serving(feed) as url:
        entries = HttpFeed(url, KEY).fetch(None)
        assert [next(entries).checkpoint for _ in range(3)] == ["1", "2", "3"]
        with pytest.raises(PartnerUnavailable):
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
    ],
)
def test_other_answers_are_no_feed(status: int, headers: dict[str, str], words: str) -> None:
    feed = Feed(answers=[(status, headers, b"<html>")])
    with serving(feed) as url, pytest.raises(PartnerUnavailable, match=words):
        list(HttpFeed(url, KEY).fetch(None))
    assert len(feed.asked) == 1


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
