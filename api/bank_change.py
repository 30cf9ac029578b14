"""Changes of a bank, by whoever asks for them: the API's moderators and the command line."""

from __future__ import annotations

from api import schemas
from hashdb.model import Action, Bank, ChangeKind
from hashdb.store import Transaction

_CHUNK = 1000


def change_bank(tx: Transaction, name_or_id: str, asked: schemas.BankChange, *, actor: str) -> Bank:
    """Changes what was asked, tells partners and writes it down. Raises `NotFound`, `NameTaken`."""
    before = tx.banks.get(name_or_id)
    bank = tx.banks.update(before.id, **asked.model_dump(exclude_unset=True))
    if shared_bank(before) != shared_bank(bank):
        _tell_partners(tx, bank)
    detail = asked.model_dump(mode="json", exclude_unset=True)
    tx.audit.record(actor, "bank.change", bank.id, detail)
    return bank


def shared_bank(bank: Bank) -> bool:
    """Whether partners are given the bank's references: it is on, and no allow-list."""
    return bank.enabled and bank.action is not Action.ALLOW


def _tell_partners(tx: Transaction, bank: Bank) -> None:
    """The exchange feed follows the change log: note all living references of a bank that is
    shared from now on, or no longer."""
    kind = ChangeKind.ENABLE if shared_bank(bank) else ChangeKind.DISABLE
    after = None
    while True:
        found, after = tx.banks.references(bank=bank.id, state="enabled", limit=_CHUNK, after=after)
        for reference in found:
            tx.changes.append(kind, reference.id, bank.id)
        if after is None:
            return
