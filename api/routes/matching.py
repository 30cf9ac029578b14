"""POST /match, POST /hash, and what was answered before: verdicts and jobs."""

from __future__ import annotations

import io
from datetime import datetime

from api import jobs, render, schemas, tasks
from api.hashes import request_digest
from api.routes.route import Answer, Call, Route, Service
from api.timeline import timeline_svg
from api.uploads import IncomingFile
from hashdb.errors import (
    BadFingerprint,
    BadMedia,
    CorruptMedia,
    EmptyMedia,
    MediaTimeout,
    MediaTooLarge,
    NoPicture,
    NotFound,
    QueueFull,
    SandboxFailed,
    UnsupportedMedia,
    UploadConflict,
)
from hashdb.model import Role, Verdict, new_id, now
from hashdb.signals import SIGNAL_TYPES
from hashdb.store import Transaction
from matcher.check import media_request_digest
from matcher.ports import Sampling

MEDIA_ERRORS = (
    BadMedia,
    CorruptMedia,
    EmptyMedia,
    MediaTimeout,
    MediaTooLarge,
    NoPicture,
    QueueFull,
    SandboxFailed,
    UnsupportedMedia,
)


def match(service: Service, call: Call) -> Answer:
    if call.media is not None:
        return _match_media(service, call, call.media)
    return _match_hashes(service, call)


def _match_media(service: Service, call: Call, media: IncomingFile) -> Answer:
    form: schemas.MatchForm = call.form
    digests = media.digests
    if call.respond_async:
        job = jobs.promise_verdict(
            service.parts,
            call.key,
            media.media(),
            holds=tasks.MEDIA,
            upload_id=form.upload_id or new_id("upl"),
            request_digest=media_request_digest(digests, suspicious=form.suspicious),
            rest={
                "sha256": digests.sha256,
                "md5": digests.md5,
                "classifications": [c.model_dump() for c in form.classifications],
                "metadata": form.metadata,
                "suspicious": form.suspicious,
            },
        )
        return promised(service, job.id)
    began = now()
    verdict = service.parts.checker.check_media(
        call.key.id,
        form.upload_id,
        media.media(),
        digests,
        classifications=tasks.classifications_of(form.classifications),
        metadata=form.metadata,
        suspicious=form.suspicious,
    )
    return _judged(service, verdict, began)


def _match_hashes(service: Service, call: Call) -> Answer:
    body: schemas.MatchHashes = call.body
    if call.respond_async:
        job = jobs.promise_verdict(
            service.parts,
            call.key,
            io.BytesIO(call.raw),
            holds=tasks.HASHES,
            upload_id=body.upload_id or new_id("upl"),
            request_digest=request_digest(body),
            rest={},
        )
        return promised(service, job.id)
    began = now()
    verdict = tasks.check_hashes(service.parts, call.key.id, body.upload_id, body)
    return _judged(service, verdict, began)


def _judged(service: Service, verdict: Verdict, began: datetime) -> Answer:
    service.metrics.verdict(verdict, since=began)
    note = {"upload_id": verdict.upload_id, "action": verdict.action.value}
    return Answer(render.verdict_out(verdict), note=note)


def promised(service: Service, job_id: str) -> Answer:
    """202, and where the caller may ask for the job."""
    service.runner.wake()
    with service.parts.store.read() as tx:
        out = render.job_out(tx.jobs.get(job_id))
    headers = {"Location": f"/jobs/{job_id}", "Preference-Applied": "respond-async"}
    note = {"upload_id": out.upload_id} if out.upload_id is not None else {}
    return Answer(out, 202, headers, note={**note, "job": job_id})


def hash_media(service: Service, call: Call) -> Answer:
    form: schemas.HashForm = call.form
    media = call.media
    assert media is not None  # the route reads multipart bodies only
    sampling = Sampling(dense=form.dense, seconds=service.parts.settings.decode_seconds)
    frames = [s.name for s in SIGNAL_TYPES.values() if s.per_frame and s.hashed and not s.exact]
    look = service.parts.sandbox(media.media(), sampling, frames)
    return Answer(render.hash_out(look, media.digests))


def get_job(service: Service, call: Call) -> Answer:
    with service.parts.store.read() as tx:
        job = tx.jobs.get(call.path["job_id"])
    others = call.key.role is Role.PIPELINE and job.key_id != call.key.id
    if others or job.run_id is not None:
        raise NotFound(f"there is no job {job.id}")
    return Answer(render.job_out(job))


def get_verdict(service: Service, call: Call) -> Answer:
    """A verdict, what a look-back found and what a moderator ruled since; for a pipeline, of its
    own upload."""
    upload_id, own = call.path["upload_id"], _own(call)
    with service.parts.store.read() as tx:
        verdict = _verdict(tx, call)
        found = tx.found.of_upload(upload_id, key_id=own)
        decision = tx.casework.decision_on(upload_id, key_id=own)
    return Answer(render.verdict_read_out(verdict, found, decision))


def list_found_later(service: Service, call: Call) -> Answer:
    query: schemas.FoundLaterQuery = call.query
    with service.parts.store.read() as tx:
        found, after = tx.found.list(key_id=_own(call), limit=query.limit, after=query.cursor)
    items = [render.found_later_item(f) for f in found]
    return Answer(schemas.FoundLaterList(items=items, next=after))


def get_timeline(service: Service, call: Call) -> Answer:
    query: schemas.TimelineQuery = call.query
    with service.parts.store.read() as tx:
        verdict = _verdict(tx, call)
        if query.of == "found_later":
            later = tx.found.of_upload(call.path["upload_id"], key_id=_own(call))
            if later is None:
                raise NotFound("no look-back found anything in it")
            verdict = later.found
    return Answer(timeline_svg(verdict), media_type="image/svg+xml")


def _own(call: Call) -> str | None:
    """The key whose uploads alone the caller may see; None where it may see all."""
    return call.key.id if call.key.role is Role.PIPELINE else None


def _verdict(tx: Transaction, call: Call) -> Verdict:
    upload_id = call.path["upload_id"]
    if call.key.role is Role.PIPELINE:
        found = tx.uploads.verdict(call.key.id, upload_id)
        verdict = found[0] if found else None
    else:
        verdict = next(iter(tx.uploads.verdicts_by_upload(upload_id)), None)
    if verdict is None:
        raise NotFound(f"no upload {upload_id!r} was judged")
    return verdict


PIPELINE = frozenset({Role.PIPELINE})
BOTH = frozenset({Role.PIPELINE, Role.MODERATOR})

ROUTES = (
    Route(
        "POST",
        "/match",
        "match",
        match,
        "Judge an upload",
        "matching",
        BOTH,
        {200: schemas.VerdictOut, 202: schemas.JobOut},
        body=schemas.MatchHashes,
        form=schemas.MatchForm,
        errors=(UploadConflict, BadFingerprint, *MEDIA_ERRORS),
        prefer_async=True,
        text=(
            "Send the media, or the hashes that you made of it. 200 means judged, whatever the "
            "action; with anything else hold the upload, do not publish it. The same `upload_id` "
            "with the same content from the same key gets the same verdict. With `Prefer: "
            "respond-async` the answer is 202 and a job that outlives a crash of the service."
        ),
    ),
    Route(
        "POST",
        "/hash",
        "hashMedia",
        hash_media,
        "Fingerprint media without judging it",
        "matching",
        BOTH,
        {200: schemas.HashOut},
        form=schemas.HashForm,
        errors=MEDIA_ERRORS,
        text="`fingerprints` is what the JSON form of `POST /match` and `POST /references` takes.",
    ),
    Route(
        "GET",
        "/jobs/{job_id}",
        "getJob",
        get_job,
        "What became of a promise",
        "matching",
        BOTH,
        {200: schemas.JobOut},
        errors=(NotFound,),
    ),
    Route(
        "GET",
        "/verdicts/{upload_id}",
        "getVerdict",
        get_verdict,
        "The verdict on an upload",
        "matching",
        BOTH,
        {200: schemas.VerdictRead},
        errors=(NotFound,),
        text=(
            "A pipeline sees its own uploads; a moderator the newest verdict under that id. "
            "`found_later` is what a look-back found in it since, `decision` what a person ruled "
            "on it; each is null where there is none."
        ),
    ),
    Route(
        "GET",
        "/found-later",
        "listFoundLater",
        list_found_later,
        "Uploads in which something was found after their verdict",
        "matching",
        BOTH,
        {200: schemas.FoundLaterList},
        query=schemas.FoundLaterQuery,
        text=(
            "By look-backs, in the order of their finding; a pipeline sees its own uploads. "
            "Ask now and then, with the `number` of the last item that you have read as `cursor`: "
            "none is missed. The verdict stays as it was, and a review asks a moderator."
        ),
    ),
    Route(
        "GET",
        "/timelines/{upload_id}",
        "getTimeline",
        get_timeline,
        "The verdict as a picture",
        "matching",
        BOTH,
        {200: "image/svg+xml"},
        query=schemas.TimelineQuery,
        errors=(NotFound,),
        text="Which seconds of the upload show which seconds of which references; no footage.",
    ),
)
