"""What workers do: one function for each kind of job. Each may be done twice, by a worker that was
given up and by the one that took the job over, and has its effect once: what it writes to the
database is known there by a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO

from api import hashes, render, schemas
from api.archive import Archive
from api.names import of_payload
from api.parts import Parts
from api.settings import Settings
from api.spool import Spool
from hashdb.model import Classification, Digests, Job, Verdict
from hashdb.store import jobs

MATCH, ENROL = jobs.MATCH, "enrol"
BACKFILL, ENROLMENT, LOOK_BACK = "backfill", "enrolment", "look-back"
PROMISES = (MATCH, ENROL)
"""What a caller waits for; done before the items of runs."""
RUNS = (BACKFILL, ENROLMENT, LOOK_BACK)

MEDIA, HASHES = "media", "hashes"  # what a promise's body holds
BACKFILL_KEY = "backfill"
"""In place of a key's id: uploads that were judged by a backfill."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a job; `outcome`: the word that an item's run counts it by."""

    result: Mapping[str, Any]
    outcome: str
    verdict: Verdict | None = None


def match(parts: Parts, job: Job) -> Done:
    """An upload that was promised a verdict."""
    payload = job.payload
    with Spool(parts.settings).opened(payload["file"]) as body:
        if payload["holds"] == HASHES:
            asked = schemas.MatchHashes.model_validate_json(body.read())
            return _judged(check_hashes(parts, job.key_id, payload["upload_id"], asked))
        sent = [schemas.ClassificationIn(**c) for c in payload["classifications"]]
        return _judged(
            parts.checker.check_media(
                job.key_id,
                payload["upload_id"],
                body,
                Digests(payload["sha256"], payload["md5"]),
                classifications=classifications_of(sent),
                metadata=payload["metadata"],
                suspicious=payload.get("suspicious", False),
            )
        )


def enrol(parts: Parts, job: Job) -> Done:
    """Media that was promised a place in a bank."""
    payload = job.payload
    with parts.store.read() as tx:
        bank = tx.banks.get(payload["bank"])
    with Spool(parts.settings).opened(payload["file"]) as body:
        reference, created = parts.enroller.add_media(
            bank,
            body,
            Digests(payload["sha256"], payload["md5"]),
            actor=job.key_id,
            source=payload["source"],
            metadata=payload["metadata"],
        )
    return Done(render.reference_json(reference), "added" if created else "known")


def backfill(parts: Parts, job: Job) -> Done:
    """An object of an archive, judged like an upload."""
    payload = job.payload
    with opened(parts, payload) as (media, digests):
        verdict = parts.checker.check_media(
            BACKFILL_KEY,
            payload["upload_id"],
            media,
            digests,
            metadata={"archive": payload["archive"], "path": payload["path"]},
        )
    # Items are kept for as long as their archive is known; the verdict is with its upload.
    told = {"upload_id": verdict.upload_id, "action": verdict.action.value}
    return Done(told, verdict.action.value, verdict)


def enrolment(parts: Parts, job: Job) -> Done:
    """An object of an archive, put into a bank."""
    payload = job.payload
    with parts.store.read() as tx:
        bank = tx.banks.get(payload["bank"])
    with opened(parts, payload) as (media, digests):
        reference, created = parts.enroller.add_media(
            bank, media, digests, actor=payload["actor"], source=payload["path"]
        )
    return Done({"reference_id": reference.id}, "added" if created else "known")


def look_back(parts: Parts, job: Job) -> Done:
    """Some past uploads, asked about again with what is known now."""
    found = [
        {"upload_id": f.upload_id, "action": f.action.value, "references": list(f.references)}
        for f in parts.look_back.look(job.payload["uploads"])
    ]
    return Done({"found": found}, "found" if found else "nothing")


TASKS: Mapping[str, Callable[[Parts, Job], Done]] = {
    MATCH: match,
    ENROL: enrol,
    BACKFILL: backfill,
    ENROLMENT: enrolment,
    LOOK_BACK: look_back,
}


def opened(
    parts: Parts, payload: Mapping[str, Any]
) -> AbstractContextManager[tuple[BinaryIO, Digests]]:
    """An item's object, as `Archive.opened`."""
    found = archive(parts.settings, payload["archive"])
    return found.opened(of_payload(payload), payload["size"], payload["version"])


def archive(settings: Settings, url: str) -> Archive:
    """Raises `BadArgument`, `Unavailable`."""
    return Archive(url, folder=settings.data_dir / "tmp", limit=settings.max_upload_mb << 20)


def check_hashes(
    parts: Parts, key_id: str, upload_id: str | None, asked: schemas.MatchHashes
) -> Verdict:
    """Judge an upload that the caller hashed; None: an id is made for it."""
    return parts.checker.check_hashes(
        key_id,
        upload_id,
        hashes.digests_of(asked),
        hashes.fingerprints_of(parts, asked),
        request_digest=hashes.request_digest(asked),
        kind=asked.kind,
        duration_s=asked.duration,
        classifications=classifications_of(asked.classifications),
        metadata=asked.metadata,
    )


def classifications_of(
    sent: Sequence[schemas.ClassificationIn],
) -> tuple[Classification, ...]:
    return tuple(Classification(c.label, c.score, "caller") for c in sent)


def _judged(verdict: Verdict) -> Done:
    return Done(render.verdict_json(verdict), verdict.action.value, verdict)
