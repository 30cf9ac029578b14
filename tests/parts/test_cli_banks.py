"""Banks and references changed by commands, against a real database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hashdb.model import ChangeKind
from hashdb.store import Store
from tests.commands import Seawall
from tests.parts.test_cli import vpdq_list


@pytest.fixture
def reference_id(seawall: Seawall, tmp_path: Path) -> str:
    """Of the one reference of the bank "attacks"."""
    seawall("bank", "create", "attacks", "--label", "violence")
    added = seawall(
        "reference", "add", "--bank", "attacks", "--vpdq", str(vpdq_list(tmp_path / "a")), "--json"
    )
    (line,) = added.lines()
    return str(line["reference_id"])


def banks(seawall: Seawall) -> list[dict[str, Any]]:
    return list(seawall("bank", "list", "--json").lines())


def told(sqlite_url: str, reference_id: str) -> list[ChangeKind]:
    """What the change log, which partners follow, says of a reference, after it was added."""
    with Store.open(sqlite_url).read() as tx:
        changes = tx.changes.since(0, limit=100)
    return [c.kind for c in changes if c.reference_id == reference_id][1:]


def test_a_bank_is_changed_as_a_moderator_changes_it(
    seawall: Seawall, sqlite_url: str, reference_id: str
) -> None:
    changed = seawall("bank", "change", "attacks", "--name", "confirmed", "--no-label", "--json")
    (now,) = changed.lines()
    assert (now["name"], now["label"], now["enabled"]) == ("confirmed", None, True)
    assert told(sqlite_url, reference_id) == []
    off = seawall("bank", "change", "confirmed", "--disable", "--label", "gore")
    assert "(disabled)" in off.out
    (now,) = banks(seawall)
    assert (now["label"], now["enabled"], now["action"]) == ("gore", False, "block")
    assert told(sqlite_url, reference_id) == [ChangeKind.DISABLE]
    assert seawall("bank", "change", "confirmed", "--enable", "--action", "review").code == 0
    assert told(sqlite_url, reference_id) == [ChangeKind.DISABLE, ChangeKind.ENABLE]
    with Store.open(sqlite_url).read() as tx:
        details = [e.detail for e in tx.audit.list()[0] if e.act == "bank.change"]
    assert {"enabled": False, "label": "gore"} in details


def test_what_is_no_change_is_refused(seawall: Seawall, reference_id: str) -> None:
    before = banks(seawall)
    nothing = seawall("bank", "change", "attacks")
    assert (nothing.code, nothing.out) == (2, "")
    assert "nothing to change" in nothing.err
    assert seawall("bank", "change", "attacks", "--label", "x", "--no-label").code == 2
    assert seawall("bank", "change", "attacks", "--name", "a b").code == 2
    assert seawall("bank", "change", "other", "--disable").code == 1
    seawall("bank", "create", "taken")
    assert seawall("bank", "change", "attacks", "--name", "taken").code == 1
    assert [b for b in banks(seawall) if b["name"] == "attacks"] == before


def test_references_are_switched_off_and_on(seawall: Seawall, reference_id: str) -> None:
    def state() -> list[str]:
        return [
            r["id"] for r in seawall("reference", "list", "--state", "enabled", "--json").lines()
        ]

    off = seawall("reference", "disable", reference_id)
    assert off.out == f"{reference_id} is disabled\n"
    assert state() == []
    (on,) = seawall("reference", "enable", reference_id, "--json").lines()
    assert on["enabled"] is True
    assert state() == [reference_id]
    assert seawall("reference", "disable", "ref_0000").code == 1
    seawall("reference", "withdraw", reference_id)
    assert seawall("reference", "enable", reference_id).code == 1
