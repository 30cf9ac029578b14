"""Pulling a partner's feed into a bank: nothing lost, nothing doubled."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import event

from api.purging import Purge
from api.settings import Settings
from hashdb import sync
from hashdb.addition import read_addition
from hashdb.errors import BadFingerprint, Conflict, PartnerUnavailable
from hashdb.exchange.jsonl import FileFeed
from hashdb.model import Bank, Codes, Digests, MediaKind, Reference
from hashdb.ports import BadLine, FeedEntry
from hashdb.store import Store
from hashdb.sync import Pulled, pull
from matcher.enroll import Enroller
from tests.feeds import add, withdraw
from tests.parts.store_samples import later

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


@pytest.fixture
def enroller(store: Store) -> Enroller:
    return Enroller(store, no_media, signal_types=("pdq",), degenerate=no_code)


def no_media(*_: object) -> NoReturn:
    raise AssertionError("nothing is decoded here")


def no_code(codes: Codes) -> NDArray[np.bool_]:
    return np.zeros(len(codes), dtype=np.bool_)


def living(store: Store, bank: Bank) -> list[Reference]:
    with store.read() as tx:
        found, _ = tx.banks.references(bank=bank.id)
    return [r for r in found if r.withdrawn_at is None]


def changes(store: Store) -> list[str]:
    with store.read() as tx:
        return [c.kind.value for c in tx.changes.since(0)]


Pull = Callable[..., Pulled]


def bare(number: int) -> dict[str, Any]:
    """An addition without a SHA-256."""
    return add(number, sha256=None)


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


@pytest.mark.parametrize("second", ['a"b', "a\\b", "a%b_", "É"])
@pytest.mark.parametrize("pulls", [1, 2])
def test_a_second_id_is_any_text(
    store: Store, bank: Bank, pulled: Pull, second: str, pulls: int
) -> None:
    """JSON spells some of it otherwise, and the metadata are JSON."""
    twice = (add(1, sha256="f" * 64), add(2, sha256="f" * 64, reference_id=second))
    if pulls == 2:
        pulled(*twice)
    pulled(*twice, {**withdraw(3, of=2), "reference_id": second}, withdraw(4, of=1))
    assert living(store, bank) == []


def test_an_id_of_two_references_ends_both(store: Store, bank: Bank, pulled: Pull) -> None:
    """First it had no SHA-256; with one it was found to be a file that is held already."""
    lines = [
        bare(1),
        add(2, sha256="f" * 64),
        add(3, sha256="f" * 64, reference_id=f"ref_{1:032x}"),
    ]
    pulled(*lines)
    assert len(living(store, bank)) == 2
    pulled(*lines, withdraw(4, of=1))
    assert [r.origin for r in living(store, bank)] == [add(2)["reference_id"]]
    pulled(*lines, withdraw(4, of=1), withdraw(5, of=2))
    assert living(store, bank) == []


def test_a_second_id_is_known_after_a_moderator_completed_the_reference(
    store: Store, bank: Bank, pulled: Pull, enroller: Enroller
) -> None:
    twice = [add(n, sha256="f" * 64, fingerprints=[]) for n in (1, 2)]
    pulled(*twice)
    shared = read_addition(add(1, sha256="f" * 64))
    _, new = enroller.add_hashes(
        bank, shared.digests, shared.fingerprints, kind=shared.kind, actor="key_mod"
    )
    assert new
    pulled(*twice, withdraw(3, of=1), withdraw(4, of=2))
    assert living(store, bank) == []


def test_the_bank_is_read_through_once_however_much_is_withdrawn(
    store: Store, pulled: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feed that is read for the first time withdraws much whose additions it passes over."""
    monkeypatch.setattr(sync, "BATCH_ENTRIES", 3)
    asked: list[str] = []

    def told(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(store._engine, "before_cursor_execute", told)
    pulled(add(1), *(withdraw(n, of=90 + n) for n in range(2, 10)))
    assert sum("LIKE" in statement for statement in asked) == 1


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


@pytest.mark.parametrize("from_start", [False, True])
@pytest.mark.parametrize("at", ["1", "2", "3", "4"])
def test_a_pull_that_was_overtaken_gives_up(
    store: Store, bank: Bank, monkeypatch: pytest.MonkeyPatch, at: str, from_start: bool
) -> None:
    """What it still has in hand is older than what is in force."""
    monkeypatch.setattr(sync, "BATCH_ENTRIES", 1)
    lines = [add(1), withdraw(2, of=1), add(3), again(4, of=1), withdraw(5, of=3)]

    class Overtaken(Changing):
        def fetch(self, checkpoint: str | None) -> Iterator[FeedEntry]:
            last = len(self.lists) == 1
            for entry in super().fetch(checkpoint):
                if last and entry.checkpoint == at:
                    pull(store, Changing(lines), name=NAME, bank=bank, actor="fast")
                yield entry

    feed = Overtaken(*[lines] * (2 if from_start else 1))
    with pytest.raises(Conflict):
        pull(store, feed, name=NAME, bank=bank, actor="slow", from_start=from_start)
    with store.read() as tx:
        (exchange,) = tx.exchanges.list()
    assert exchange.checkpoint == "5"
    assert [r.origin for r in living(store, bank)] == [add(1)["reference_id"]]


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


# What a moderator here withdrew


def digest_alone(number: int) -> dict[str, Any]:
    """An addition by an MD5 alone."""
    return add(number, sha256=None, md5=f"{number:032x}", fingerprints=[])


@pytest.mark.parametrize("added", [add, bare, digest_alone])
@pytest.mark.parametrize(("from_start", "times"), [(False, 1), (True, 2)])
def test_what_a_moderator_withdrew_stays_withdrawn(
    store: Store,
    bank: Bank,
    pulled: Pull,
    enroller: Enroller,
    added: Callable[[int], dict[str, Any]],
    from_start: bool,
    times: int,
) -> None:
    """The partner adds it once more: it had switched its bank off, or all is read again."""
    first = (added(1), added(2))
    pulled(*first)
    for reference in living(store, bank):
        if reference.origin == added(1)["reference_id"]:
            enroller.withdraw(reference.id, actor="key_mod")
    before = changes(store)
    lines = (*first, withdraw(3, of=1), {**added(1), "checkpoint": "4"})
    done = pulled(*lines, from_start=from_start)
    assert (done.added, done.withdrawn, done.overruled) == (0, 0, times)
    assert done.checkpoint == "4"
    assert changes(store) == before
    assert [r.origin for r in living(store, bank)] == [added(2)["reference_id"]]


def test_what_was_passed_over_for_a_moderator_counts_as_a_line(
    store: Store, bank: Bank, pulled: Pull, enroller: Enroller
) -> None:
    pulled(add(1), add(2))
    for reference in living(store, bank):
        enroller.withdraw(reference.id, actor="key_mod")
    done = pulled(add(1), add(2), add(3), from_start=True)
    assert (done.overruled, done.added, done.known, done.lines) == (2, 1, 0, 3)
    assert done.refused == []


def test_a_moderator_withdraws_the_file_whatever_the_partner_calls_it(
    store: Store, bank: Bank, pulled: Pull, enroller: Enroller
) -> None:
    """Held twice by the partner, or under a new id by the database that replaced its old one."""
    twice = (add(1, sha256="f" * 64), add(2, sha256="f" * 64))
    pulled(*twice)
    (reference,) = living(store, bank)
    enroller.withdraw(reference.id, actor="key_mod")
    assert pulled(*twice, from_start=True).overruled == 2
    new = [add(n, sha256=f * 64, checkpoint=f"new.{n}") for n, f in ((8, "f"), (9, "e"))]
    done = pulled(*new, from_start=True)
    assert (done.overruled, done.added) == (1, 1)
    assert [r.digests.sha256 for r in living(store, bank)] == ["e" * 64]


def test_what_a_moderator_withdrew_stays_withdrawn_without_the_audit(
    store: Store, store_url: str, bank: Bank, pulled: Pull, enroller: Enroller, tmp_path: Path
) -> None:
    pulled(add(1))
    (reference,) = living(store, bank)
    enroller.withdraw(reference.id, actor="key_mod")
    settings = Settings(data_dir=tmp_path / "data", database_url=store_url, keep_audit_days=1)
    Purge(store, settings).run(at=later(500))
    with store.read() as tx:
        assert [e.act for e in tx.audit.list()[0]] == ["purge"]
    assert pulled(add(1), from_start=True).overruled == 1
    assert living(store, bank) == []


def test_a_moderator_adds_again_what_was_withdrawn(
    store: Store, bank: Bank, pulled: Pull, enroller: Enroller
) -> None:
    """It is ours from then on: the partner's withdrawal does not end it."""
    pulled(add(1))
    (theirs,) = living(store, bank)
    enroller.withdraw(theirs.id, actor="key_mod")
    shared = read_addition(add(1))
    ours, _ = enroller.add_hashes(
        bank, shared.digests, shared.fingerprints, kind=shared.kind, actor="key_mod"
    )
    lines = (add(1), withdraw(2, of=1), again(3, of=1))
    done = pulled(*lines)
    assert (done.known, done.overruled, done.added, done.withdrawn) == (1, 0, 0, 0)
    assert [r.id for r in living(store, bank)] == [ours.id]
    enroller.withdraw(ours.id, actor="key_mod")
    done = pulled(*lines, from_start=True)
    assert (done.overruled, done.added) == (2, 0)
    assert living(store, bank) == []


def test_our_own_that_a_moderator_withdrew_is_not_brought_by_a_partner(
    store: Store, bank: Bank, pulled: Pull, enroller: Enroller
) -> None:
    shared = read_addition(add(1))
    ours, _ = enroller.add_hashes(bank, shared.digests, [], kind=shared.kind, actor="key_mod")
    enroller.withdraw(ours.id, actor="key_mod")
    assert pulled(add(1)).overruled == 1
    assert living(store, bank) == []


def test_a_moderator_may_overrule_what_the_partner_has_withdrawn_for_now(
    store: Store, bank: Bank, pulled: Pull, enroller: Enroller
) -> None:
    pulled(add(1))
    (reference,) = living(store, bank)
    pulled(add(1), withdraw(2, of=1))
    enroller.withdraw(reference.id, actor="key_mod")
    assert pulled(add(1), withdraw(2, of=1), again(3, of=1)).overruled == 1
    assert living(store, bank) == []


def test_what_is_withdrawn_in_another_bank_comes_into_this_one(
    store: Store, bank: Bank, pulled: Pull, enroller: Enroller
) -> None:
    shared = read_addition(add(1))
    with store.begin() as tx:
        other = tx.banks.create("other")
    there, _ = enroller.add_hashes(
        other, shared.digests, [], kind=shared.kind, actor="key_mod", origin=add(1)["reference_id"]
    )
    enroller.withdraw(there.id, actor="key_mod")
    assert pulled(add(1)).added == 1


@pytest.mark.parametrize("added", [add, bare, digest_alone])
def test_what_a_moderator_disabled_comes_back_disabled(
    store: Store,
    bank: Bank,
    pulled: Pull,
    enroller: Enroller,
    added: Callable[[int], dict[str, Any]],
) -> None:
    lines = [added(1)]
    pulled(*lines)
    (reference,) = living(store, bank)
    enroller.set_enabled(reference.id, False, actor="key_mod")
    lines += [withdraw(2, of=1), {**added(1), "checkpoint": "3"}]
    assert pulled(*lines).added == 1
    (back,) = living(store, bank)
    assert (back.id != reference.id, back.enabled) == (True, False)
    enroller.set_enabled(back.id, True, actor="key_mod")
    lines += [withdraw(4, of=1), {**added(1), "checkpoint": "5"}]
    assert pulled(*lines).added == 1
    (back,) = living(store, bank)
    assert back.enabled


def test_what_was_completed_is_nobodys_withdrawal(store: Store, bank: Bank, pulled: Pull) -> None:
    """A digest alone gave its place to one with codes; then the partner withdrew that, for now."""
    lines = [add(1, fingerprints=[]), again(2, of=1), withdraw(3, of=1), again(4, of=1)]
    done = pulled(*lines)
    assert (done.added, done.withdrawn, done.overruled) == (3, 1, 0)
    assert len(living(store, bank)) == 1


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


def test_frames_stand_in_their_order_whatever_that_of_the_line():
    (made,) = read_addition(
        {**add(1), **prints(*(frame(offset=at, quality=90 + at) for at in (3, 1, 2)))}
    ).fingerprints
    assert made.offsets.tolist() == [1.0, 2.0, 3.0]
    assert made.quality.tolist() == [91, 92, 93]


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
