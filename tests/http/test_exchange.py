"""The feed for partners: docs/exchange.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hashdb.errors import PartnerUnavailable
from hashdb.exchange.jsonl import parse_line, split_lines
from hashdb.model import Digests, MediaKind, Role
from hashdb.ports import FeedEntry
from hashdb.store import Store
from hashdb.sync import pull
from tests.http.conftest import Service, problem


def feed(service: Service, query: str = "") -> tuple[list[dict[str, Any]], Any]:
    answer = service.ask(Role.PARTNER, "GET", f"/exchange/v1/changes{query}")
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "application/jsonl"
    lines = answer.data.splitlines(keepends=True)
    assert all(line.endswith(b"\n") for line in lines)
    assert all(isinstance(parse_line(line), FeedEntry) for line in split_lines(lines))
    return [json.loads(line) for line in lines], answer.headers


def seen(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["change"], line["reference_id"]) for line in lines]


def change(service: Service, method: str, path: str, **more: Any) -> None:
    assert service.ask(Role.MODERATOR, method, path, **more).status_code == 200


def test_an_addition_carries_what_matching_needs(service: Service) -> None:
    service.bank(label="terror")
    reference = service.reference()
    (line,), headers = feed(service)
    assert line["reference_id"] == reference["id"]
    assert (line["bank"], line["label"], line["action"]) == ("attacks", "terror", "block")
    assert (line["sha256"], line["kind"]) == (reference["sha256"], "image")
    pdq = next(f for f in line["fingerprints"] if f["signal_type"] == "pdq")
    assert pdq["frames"][0]["hash"] == reference["sha256"]
    assert "source" not in line
    assert "metadata" not in line
    assert headers["Seawall-Checkpoint"] == line["checkpoint"]
    assert "Link" not in headers


def test_what_follows_a_checkpoint(service: Service) -> None:
    assert feed(service)[0] == []
    service.bank()
    one, two = service.reference()["id"], service.reference(media=b"\x89PNG two")["id"]
    lines, _ = feed(service)
    assert seen(lines) == [("add", one), ("add", two)]
    after = f"?since={lines[-1]['checkpoint']}"
    assert feed(service, after)[0] == []
    change(service, "PATCH", f"/references/{one}", json={"enabled": False})
    change(service, "DELETE", f"/references/{two}")
    change(service, "PATCH", f"/references/{one}", json={"enabled": True})
    assert seen(feed(service, after)[0]) == [("withdraw", one), ("withdraw", two), ("add", one)]
    # From the beginning: what is gone by now is not added first.
    assert seen(feed(service)[0]) == [
        ("add", one),
        ("withdraw", one),
        ("withdraw", two),
        ("add", one),
    ]


def test_pages_are_linked_until_the_end(service: Service) -> None:
    service.bank()
    made = [service.reference(media=b"\x89PNG %d" % i)["id"] for i in range(5)]
    found, path = [], "?limit=2"
    for _ in range(9):
        lines, headers = feed(service, path)
        found += [line["reference_id"] for line in lines]
        link = headers.get("Link")
        if link is None:
            break
        assert link.endswith('; rel="next"')
        path = link[link.index("?") : link.index(">")]
    assert found == made


def test_allow_lists_and_what_came_from_partners_stay(service: Service) -> None:
    service.bank("news", action="allow")
    service.reference("news")
    bank = service.bank("attacks")
    with service.parts.store.read() as tx:
        into = tx.banks.get(bank["id"])
    service.parts.enroller.add_hashes(
        into,
        Digests(sha256=sha256(b"theirs").hexdigest()),
        [],
        kind=MediaKind.VIDEO,
        actor="sync",
        origin="ref_theirs",
    )
    lines, headers = feed(service)
    assert lines == []
    assert headers["Seawall-Checkpoint"].endswith(".2")


def test_a_bank_that_stops_being_shared_is_withdrawn(service: Service) -> None:
    service.bank()
    reference = service.reference()["id"]
    off = service.reference(media=b"\x89PNG off")["id"]
    change(service, "PATCH", f"/references/{off}", json={"enabled": False})
    at = feed(service)[1]["Seawall-Checkpoint"]
    for body, expected in (
        ({"enabled": False}, [("withdraw", reference)]),
        ({"enabled": True}, [("add", reference)]),
        ({"label": "x"}, []),
        ({"action": "review"}, []),
        ({"action": "allow"}, [("withdraw", reference)]),
        ({"action": "block"}, [("add", reference)]),
    ):
        change(service, "PATCH", "/banks/attacks", json=body)
        lines, headers = feed(service, f"?since={at}")
        assert seen(lines) == expected, body
        at = headers["Seawall-Checkpoint"]


def test_checkpoints_of_another_feed(service: Service) -> None:
    here = feed(service)[1]["Seawall-Checkpoint"].removesuffix(".0")
    assert here == service.parts.store.identity()[:12]
    assert feed(service, f"?since={here}.0")[0] == []
    for since, slug in (
        ("1", "conflict"),
        ("0", "conflict"),
        ("9" * 19, "conflict"),
        (f"{here}.1", "conflict"),
        (f"{here}.{'9' * 19}", "conflict"),
        (f"{'0' * 12}.0", "conflict"),
        (f"{here}.", "bad-argument"),
        (f"{here}.{'9' * 20}", "bad-argument"),
        (f"{here[:-1]}.0", "bad-argument"),
        (f".{here}.0", "bad-argument"),
        (f"{here}.0%0A", "bad-argument"),
        ("-1", "bad-argument"),
        ("x", "bad-argument"),
        ("", "bad-argument"),
    ):
        answer = service.ask(Role.PARTNER, "GET", f"/exchange/v1/changes?since={since}")
        problem(answer, slug)


def test_a_checkpoint_of_a_database_that_was_replaced_and_has_grown(service: Service) -> None:
    service.bank()
    for n in range(3):
        service.reference(media=b"\x89PNG %d" % n)
    lines, _ = feed(service)
    old = f"{'ab' * 6}.1"  # what the database before this one gave, and this one has reached
    problem(service.ask(Role.PARTNER, "GET", f"/exchange/v1/changes?since={old}"), "conflict")
    assert all(len(line["checkpoint"]) <= 64 for line in lines)


class Asked:
    """The service as a partner, without a socket."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def fetch(self, checkpoint: str | None) -> Iterator[FeedEntry]:
        query = "" if checkpoint is None else f"?since={checkpoint}"
        answer = self._service.ask(Role.PARTNER, "GET", f"/exchange/v1/changes{query}")
        if answer.status_code != 200:
            raise PartnerUnavailable(str(answer.status_code))
        for line in split_lines([answer.data]):
            entry = parse_line(line)
            assert isinstance(entry, FeedEntry)
            yield entry


def test_a_reader_of_a_replaced_database_loses_nothing(service: Service, tmp_path: Path) -> None:
    service.bank()
    for n in range(3):
        service.reference(media=b"\x89PNG %d" % n)
    with closing(Store.open(f"sqlite:///{tmp_path / 'reader.db'}")) as reader:
        with reader.begin() as tx:
            bank = tx.banks.create("theirs")
            exchange = tx.exchanges.ensure("partner", bank.id)
            tx.exchanges.advance(exchange.id, f"{'ab' * 6}.1")
        with pytest.raises(PartnerUnavailable, match="409"):
            pull(reader, Asked(service), name="partner", bank=bank, actor="a")
        done = pull(reader, Asked(service), name="partner", bank=bank, actor="a", from_start=True)
        assert done.added == 3
        assert pull(reader, Asked(service), name="partner", bank=bank, actor="a").lines == 0


def test_from_the_start_changes_nothing_after_a_bank_was_off_and_on(
    service: Service, tmp_path: Path
) -> None:
    bank = service.bank()
    for n in range(3):
        service.reference(media=b"\x89PNG %d" % n)
    with closing(Store.open(f"sqlite:///{tmp_path / 'reader.db'}")) as reader:
        with reader.begin() as tx:
            theirs = tx.banks.create("theirs")

        def pulled(from_start: bool = False) -> tuple[int, int]:
            feed = Asked(service)
            done = pull(reader, feed, name="partner", bank=theirs, actor="a", from_start=from_start)
            return done.added, done.withdrawn

        assert pulled() == (3, 0)
        for enabled in (False, True):
            change(service, "PATCH", f"/banks/{bank['id']}", json={"enabled": enabled})
        assert pulled() == (3, 3)
        with reader.read() as tx:
            before = tx.changes.head()
        assert [pulled(from_start=True) for _ in range(2)] == [(0, 0)] * 2
        with reader.read() as tx:
            assert tx.changes.head() == before
