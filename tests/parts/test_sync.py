"""Pulling a partner's feed into a bank: nothing lost, nothing doubled."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hashdb import sync
from hashdb.errors import BadFingerprint, PartnerUnavailable
from hashdb.exchange.jsonl import FileFeed
from hashdb.model import Bank, Digests, MediaKind, Reference
from hashdb.ports import BadLine, FeedEntry
from hashdb.store import Store
from hashdb.sync import Pulled, pull, read_addition
from tests.feeds import add, withdraw

NAME = "https://partner.example/exchange/v1/changes"


@pytest.fixture
def bank(store: Store) -> Bank:
    with store.begin() as tx:
        return tx.banks.create("theirs")


@pytest.fixture
def pulled(store: Store, bank: Bank, tmp_path: Path) -> Callable[..., Pulled]:
    """Pulls the lines (all that the partner ever gave) into the bank."""

    def run(*lines: dict[str, Any], from_start: bool = False) -> Pulled:
        path = tmp_path / "feed.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        feed = FileFeed(path)
        return pull(store, feed, name=NAME, bank=bank, actor="cli:me", from_start=from_start)

    return run


def living(store: Store, bank: Bank) -> list[Reference]:
    with store.read() as tx:
        found, _ = tx.banks.references(bank=bank.id)
    return [r for r in found if r.withdrawn_at is None]


def changes(store: Store) -> list[str]:
    with store.read() as tx:
        return [c.kind.value for c in tx.changes.since(0)]


Pull = Callable[..., Pulled]


def test_adds_and_withdraws(store: Store, bank: Bank, pulled: Pull) -> None:
    done = pulled(add(1), add(2), withdraw(3, of=1))
    assert (done.added, done.withdrawn, done.known, done.refused) == (2, 1, 0, [])
    (kept,) = living(store, bank)
    assert kept.origin == add(2)["reference_id"]
    assert kept.digests == Digests(sha256=f"{2:064x}")
    with store.read() as tx:
        (fingerprint,) = tx.banks.fingerprints(kept.id)
    assert fingerprint.codes.tobytes() == (2).to_bytes(32, "big")
    assert fingerprint.pipeline == "pdq/1"


def test_goes_on_where_it_stopped(store: Store, bank: Bank, pulled: Pull) -> None:
    assert pulled(add(1), add(2)).added == 2
    done = pulled(add(1), add(2), add(3), withdraw(4, of=2))
    assert (done.added, done.withdrawn, done.known) == (1, 1, 0)
    assert pulled(add(1), add(2), add(3), withdraw(4, of=2)).lines == 0
    assert changes(store) == ["add", "add", "add", "withdraw"]


def test_lines_that_come_again_change_nothing(store: Store, bank: Bank, pulled: Pull) -> None:
    lines = (add(1), add(2, sha256=None), add(3, sha256=None, md5="a" * 32), withdraw(4, of=1))
    pulled(*lines)
    before = changes(store)
    with store.begin() as tx:
        exchange = tx.exchanges.ensure(NAME, bank.id)
        tx.exchanges.advance(exchange.id, "1")
    done = pulled(*lines)
    assert (done.added, done.known, done.withdrawn) == (0, 2, 0)
    assert changes(store) == before


def test_what_was_withdrawn_can_come_back(store: Store, bank: Bank, pulled: Pull) -> None:
    back = {**add(3), "reference_id": add(1)["reference_id"], "sha256": add(1)["sha256"]}
    done = pulled(add(1), withdraw(2, of=1), back)
    assert (done.added, done.withdrawn) == (2, 1)
    assert [r.origin for r in living(store, bank)] == [add(1)["reference_id"]]


def test_withdrawals_of_what_was_never_seen_are_passed_over(store: Store, pulled: Pull) -> None:
    done = pulled(withdraw(1, of=77), add(2))
    assert (done.added, done.withdrawn, done.checkpoint) == (1, 0, "2")


@pytest.mark.parametrize("first", [1, 2])
def test_a_file_that_the_partner_holds_twice_stays_until_both_are_gone(
    store: Store, bank: Bank, pulled: Pull, first: int
) -> None:
    twice = (add(1, sha256="f" * 64), add(2, sha256="f" * 64))
    assert pulled(*twice).known == 1
    once = (*twice, withdraw(3, of=first))
    assert pulled(*once).withdrawn == 0
    assert len(living(store, bank)) == 1
    done = pulled(*once, withdraw(4, of=3 - first))
    assert done.withdrawn == 1
    assert living(store, bank) == []


def test_a_second_id_is_found_beyond_the_first_page(
    store: Store, bank: Bank, pulled: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older references, withdrawn by now, hold the same id in their metadata."""
    monkeypatch.setattr(sync, "PAGE", 2)
    second = add(2)["reference_id"]
    with store.begin() as tx:
        for n in range(5):
            old, _ = tx.banks.add_reference(
                bank,
                kind=MediaKind.IMAGE,
                digests=Digests(sha256=f"{1000 + n:064x}"),
                fingerprints=[],
                origin=f"ref_old{n}",
            )
            tx.banks.set_metadata(old.id, {"origins": [f"ref_old{n}", second]})
            tx.banks.withdraw(old.id)
    twice = (add(1, sha256="f" * 64), add(2, sha256="f" * 64), withdraw(3, of=1))
    assert pulled(*twice).withdrawn == 0
    assert pulled(*twice, withdraw(4, of=2)).withdrawn == 1
    assert living(store, bank) == []


def test_from_the_start_after_the_partner_was_replaced(
    store: Store, bank: Bank, pulled: Pull
) -> None:
    pulled(add(1), add(2))
    new = [add(n, checkpoint=f"new.{n}") for n in (2, 3)]
    with pytest.raises(PartnerUnavailable, match="--from-start"):
        pulled(*new)
    done = pulled(*new, from_start=True)
    assert (done.known, done.added, done.checkpoint) == (1, 1, "new.3")
    assert len(living(store, bank)) == 3
    assert pulled(*new, add(4, checkpoint="new.4")).added == 1


def again(number: int, of: int) -> dict[str, Any]:
    """An addition that comes once more, under another checkpoint."""
    return add(of, checkpoint=str(number))


@pytest.mark.parametrize("batch", [1, 100])
def test_from_the_start_changes_nothing(
    store: Store, bank: Bank, pulled: Pull, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """The partner switched a bank off and on, and withdrew something for good."""
    monkeypatch.setattr(sync, "BATCH_ENTRIES", batch)
    lines = (
        *(add(1), add(2), add(3), withdraw(4, of=1), withdraw(5, of=2), again(6, of=1)),
        *(again(7, of=2), withdraw(8, of=1), again(9, of=1), withdraw(10, of=3)),
    )
    pulled(*lines)
    before, kept = changes(store), {r.id for r in living(store, bank)}
    for _ in range(2):
        done = pulled(*lines, from_start=True)
        assert (done.added, done.withdrawn, done.checkpoint) == (0, 0, "10")
    assert changes(store) == before
    assert {r.id for r in living(store, bank)} == kept
    done = pulled(*lines, withdraw(11, of=1), add(12), from_start=True)
    assert (done.added, done.withdrawn) == (1, 1)
    assert {r.origin for r in living(store, bank)} == {add(n)["reference_id"] for n in (2, 12)}


class Changing:
    """A partner whose list is another one each time that it is read."""

    def __init__(self, *lists: list[dict[str, Any]]) -> None:
        self.lists = list(lists)

    def fetch(self, checkpoint: str | None) -> Iterator[FeedEntry]:
        for line in self.lists.pop(0):
            if checkpoint is None or int(line["checkpoint"]) > int(checkpoint):
                yield FeedEntry(line["change"], line["reference_id"], line["checkpoint"], line)


@pytest.mark.parametrize("gone", [False, True])
def test_a_list_that_grows_while_it_is_read_from_its_start(
    store: Store, bank: Bank, pulled: Pull, gone: bool
) -> None:
    """`gone`: its last line, too, since that reference was withdrawn meanwhile."""
    first = [add(1), add(2), withdraw(3, of=1), again(4, of=1), withdraw(5, of=2), add(6)]
    pulled(*first)
    end = [withdraw(7, of=6), withdraw(8, of=1), again(9, of=2)]
    grown = [*(first[:-1] if gone else first), *end]
    feed = Changing(first, grown, grown)
    done = pull(store, feed, name=NAME, bank=bank, actor="a", from_start=True)
    assert done.checkpoint == "9"
    assert [r.origin for r in living(store, bank)] == [add(2)["reference_id"]]


def test_from_the_start_leaves_the_checkpoint_until_all_was_read(
    store: Store, bank: Bank, pulled: Pull
) -> None:
    lines = [add(1), add(2), withdraw(3, of=1), again(4, of=1)]
    pulled(*lines)

    class Broken(Changing):
        def fetch(self, checkpoint: str | None) -> Iterator[FeedEntry]:
            yield from super().fetch(checkpoint)
            if len(self.lists) == 0:
                raise PartnerUnavailable("gone")

    feed = Broken(lines, [add(1), add(2)])
    with pytest.raises(PartnerUnavailable):
        pull(store, feed, name=NAME, bank=bank, actor="a", from_start=True)
    with store.read() as tx:
        (exchange,) = tx.exchanges.list()
    assert exchange.checkpoint == "4"
    assert len(living(store, bank)) == 2


def test_our_own_reference_outlives_the_partners_withdrawal(
    store: Store, bank: Bank, pulled: Pull
) -> None:
    with store.begin() as tx:
        own, _ = tx.banks.add_reference(
            bank, kind=MediaKind.IMAGE, digests=Digests(sha256=f"{1:064x}"), fingerprints=[]
        )
    done = pulled(add(1), withdraw(2, of=1))
    assert (done.added, done.withdrawn) == (1, 0)
    (left,) = living(store, bank)  # ours came as a digest: the partner's codes complete it
    assert left.id != own.id
    assert left.origin is None
    assert left.frames > 0


def test_other_banks_are_left_alone(store: Store, bank: Bank, pulled: Pull) -> None:
    with store.begin() as tx:
        other = tx.banks.create("other")
        tx.banks.add_reference(
            other,
            kind=MediaKind.IMAGE,
            digests=Digests(),
            fingerprints=read_addition(add(1)).fingerprints,
            origin=add(1)["reference_id"],
        )
    pulled(add(1), withdraw(2, of=1))
    assert len(living(store, other)) == 1


def test_a_line_that_cannot_be_read_is_passed_over_and_told(
    store: Store, bank: Bank, pulled: Pull
) -> None:
    done = pulled(add(1), add(2, sha256="no hex"), add(3))
    assert (done.added, done.checkpoint) == (2, "3")
    (refused,) = done.refused
    assert refused.reference_id == add(2)["reference_id"]
    assert "sha256" in refused.why


def test_a_line_that_is_no_entry_is_passed_over_and_told(
    store: Store, bank: Bank, tmp_path: Path
) -> None:
    path = tmp_path / "feed.jsonl"
    good = [json.dumps(add(n)) for n in range(1, 5)]
    lines = [good[0], "not json", good[1], json.dumps(add(9, reference_id="r" * 65)), good[2], "{}"]

    def run() -> Pulled:
        path.write_text("".join(line + "\n" for line in lines))
        return pull(store, FileFeed(path), name=NAME, bank=bank, actor="cli:me")

    done = run()
    assert (done.added, done.checkpoint) == (3, "3")
    assert [(r.line, r.reference_id) for r in done.refused] == [(2, None), (4, None), (6, None)]
    assert [r.line for r in run().refused] == [6]  # nothing says where to go on after it
    lines.append(good[3])
    assert run().added == 1
    assert run().refused == []


def test_a_feed_of_bad_lines_alone_leaves_the_checkpoint(store: Store, bank: Bank) -> None:
    bad = [BadLine(n, "it is no JSON") for n in (1, 2)]
    feed = Breaking([], PartnerUnavailable("gone"), bad)
    with pytest.raises(PartnerUnavailable):
        pull(store, feed, name=NAME, bank=bank, actor="a")
    with store.read() as tx:
        (exchange,) = tx.exchanges.list()
    assert exchange.checkpoint is None


def test_why_a_line_was_refused_is_short(pulled: Pull) -> None:
    (refused,) = pulled(add(1, kind="x" * 100_000)).refused
    assert len(refused.why) <= 200


def test_records_who_pulled_what(store: Store, pulled: Pull) -> None:
    pulled(add(1), withdraw(2, of=1))
    with store.read() as tx:
        entries, _ = tx.audit.list()
    assert [(e.actor, e.act, e.detail["partner"]) for e in entries] == [
        ("cli:me", "withdraw", NAME),
        ("cli:me", "add", NAME),
    ]


class Breaking:
    """A partner whose feed breaks off after its lines, as `error` says."""

    def __init__(
        self, lines: list[dict[str, Any]], error: BaseException, bad: Sequence[BadLine] = ()
    ) -> None:
        self.lines = lines
        self.error = error
        self.bad = bad

    def fetch(self, checkpoint: str | None) -> Iterator[FeedEntry | BadLine]:
        yield from self.bad
        for line in self.lines:
            yield FeedEntry(line["change"], line["reference_id"], line["checkpoint"], line)
        raise self.error


def test_keeps_what_came_before_the_feed_broke_off(
    store: Store, bank: Bank, pulled: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "BATCH_ENTRIES", 2)
    told: list[int] = []
    broken = Breaking([add(1), add(2), add(3)], PartnerUnavailable("gone"))
    with pytest.raises(PartnerUnavailable):
        pull(
            store, broken, name=NAME, bank=bank, actor="a", progress=lambda p: told.append(p.lines)
        )
    assert told == [2, 3]
    assert len(living(store, bank)) == 3
    assert pulled(add(1), add(2), add(3), add(4)).added == 1


def test_a_batch_is_applied_whole_or_not_at_all(
    store: Store, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "BATCH_ENTRIES", 2)
    killed = Breaking([add(1), add(2), add(3)], KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        pull(store, killed, name=NAME, bank=bank, actor="a")
    assert len(living(store, bank)) == 2
    with store.read() as tx:
        (exchange,) = tx.exchanges.list()
    assert exchange.checkpoint == "2"


def frame(**more: Any) -> dict[str, Any]:
    return {"offset": 0.0, "hash": "0" * 64, "quality": 100, "span": 0.0, **more}


def prints(*frames: dict[str, Any], **more: Any) -> dict[str, Any]:
    one = {"signal_type": "pdq", "pipeline": "pdq/1", "track": 0, "view": "full"}
    return {"fingerprints": [{**one, "frames": list(frames), **more}]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "song"},
        {"sha256": "A" * 64},
        {"md5": "a" * 31},
        {"md5": 5},
        {"duration_s": -1},
        {"duration_s": True},
        {"fingerprints": {}},
        {"fingerprints": [[]]},
        {"fingerprints": [{"signal_type": "pdq"}]},
        {"fingerprints": prints(frame())["fingerprints"] * 2},
        {"sha256": None, "fingerprints": []},
        prints(frame(), pipeline=""),
        prints(frame(), pipeline="a\0b"),
        prints(frame(), pipeline="\ud800"),
        prints(frame(), track=-1),
        prints(frame(), track=1.5),
        prints("frame"),  # type: ignore[arg-type]
        prints(frame(hash="0" * 63)),
        prints(frame(hash=None)),
        prints(frame(hash=["0" * 64])),
        prints(frame(hash="\ud800" * 64)),
        prints(frame(offset=-0.1)),
        prints(frame(offset="0")),
        prints(frame(offset=None)),
        prints(frame(offset=10**400)),
        prints(frame(quality=101)),
        prints(frame(quality=1.0)),
        prints(frame(quality=None)),
        prints(frame(span=-1)),
    ],
)
def test_additions_are_what_the_format_says(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadFingerprint):
        read_addition({**add(1), **wrong})


def test_frames_too_flat_to_mean_anything_are_left_out() -> None:
    shared = read_addition({**add(1), **prints(frame(quality=100), frame(quality=49, offset=1))})
    assert [len(f) for f in shared.fingerprints] == [1]
    assert read_addition({**add(1), **prints(frame(quality=0))}).fingerprints == ()


def test_what_this_version_does_not_know_is_passed_over() -> None:
    new = {"signal_type": "pdq2", "pipeline": "x", "frames": [{"odd": 1}]}
    side = {**prints(frame())["fingerprints"][0], "view": "inside-out"}
    body = {**add(1), "future": 1}
    body["fingerprints"] = [*body["fingerprints"], new, side]
    assert [f.signal_type for f in read_addition(body).fingerprints] == ["pdq"]


def test_of_references_no_panes_are_taken() -> None:
    pane = {**prints(frame())["fingerprints"][0], "view": "pane"}
    assert read_addition({**add(1), "fingerprints": [pane]}).fingerprints == ()
