"""Erasure on request: all that is kept of one upload."""

from __future__ import annotations

from api import tasks
from api.settings import Settings
from api.spool import Spool
from hashdb.store import Store
from hashdb.store.retention import Erased


def erase(
    store: Store, settings: Settings, upload_id: str, key_id: str | None, *, actor: str
) -> Erased:
    """Deletes it, whatever the settings keep, and records in the audit that it was done, by whom,
    and of which decisions it was the end. Raises `NotFound`, `Conflict`, `UploadBusy`."""
    with store.begin() as tx:
        erased = tx.retention.erase(upload_id, key_id, kind=tasks.MATCH)
        detail = {
            "key_id": erased.key_id,
            "action": erased.action,
            "decisions": list(erased.decisions),
        }
        tx.audit.record(actor, "upload.erase", upload_id, detail)
    spool = Spool(settings)
    for name in erased.files:
        spool.drop(name)
    return erased
