"""Reviews, decisions and the audit."""

from __future__ import annotations

from api import erasing, render, schemas
from api.routes.banks import MODERATOR
from api.routes.route import Answer, Call, Route, Service
from hashdb.errors import AlreadyDecided, Conflict, NotFound, UploadBusy
from hashdb.model import Action, Review, Role
from hashdb.store import Transaction
from hashdb.store.casework import ReviewState

NOBODY_ELSE: frozenset[Role] = frozenset({Role.ADMIN})


def list_reviews(service: Service, call: Call) -> Answer:
    query: schemas.ReviewQuery = call.query
    with service.parts.store.read() as tx:
        found, after = tx.casework.reviews(
            state=query.state, queue=query.queue, limit=query.limit, after=query.cursor
        )
        later = tx.found.of_reviews([review.id for review in found])
    items = [render.review_out(review, later.get(review.id)) for review in found]
    return Answer(schemas.ReviewList(items=items, next=after))


def get_review(service: Service, call: Call) -> Answer:
    with service.parts.store.read() as tx:
        review = tx.casework.review(call.path["review_id"])
        verdict = tx.uploads.of_verdict(review.verdict_id)
        later = tx.found.of_reviews([review.id]).get(review.id)
        decision = tx.casework.decision_of(review.id)
    return Answer(render.review_read_out(review, verdict, later, decision))


def decide(service: Service, call: Call) -> Answer:
    body: schemas.DecisionNew = call.body
    with service.parts.store.begin() as tx:
        review_id = body.review_id or _open_review(tx, body.upload_id or "")
        decision = tx.casework.decide(
            review_id, body.action, body.label, call.key.id, body.rationale
        )
        detail = {"action": body.action.value, "review": review_id}
        tx.audit.record(call.key.id, "decide", decision.id, detail)
    note = {"upload_id": decision.upload_id, "action": decision.action.value}
    return Answer(render.decision_out(decision), 201, note=note)


def _open_review(tx: Transaction, upload_id: str) -> str:
    found: list[Review] = []
    states: tuple[ReviewState, ...] = ("open", "claimed")
    for state in states:
        found += tx.casework.reviews(state=state, upload_id=upload_id, limit=2)[0]
    if not found:
        raise NotFound(f"no review of upload {upload_id!r} is open")
    if len(found) > 1:
        raise Conflict(f"several reviews of upload {upload_id!r} are open: give a review_id")
    return found[0].id


def list_decisions(service: Service, call: Call) -> Answer:
    query: schemas.DecisionQuery = call.query
    with service.parts.store.read() as tx:
        found, after = tx.casework.decisions(
            limit=query.limit, after=query.cursor, upload_id=query.upload_id
        )
    items = [render.decision_out(d) for d in found]
    return Answer(schemas.DecisionList(items=items, next=after))


def list_audit(service: Service, call: Call) -> Answer:
    query: schemas.AuditQuery = call.query
    with service.parts.store.read() as tx:
        found, after = tx.audit.list(limit=query.limit, after=query.cursor, subject=query.subject)
    return Answer(schemas.AuditList(items=[render.audit_out(e) for e in found], next=after))


def erase_upload(service: Service, call: Call) -> Answer:
    query: schemas.EraseQuery = call.query
    upload_id, parts = call.path["upload_id"], service.parts
    erased = erasing.erase(parts.store, parts.settings, upload_id, query.key_id, actor=call.key.id)
    out = schemas.ErasedOut(
        upload_id=upload_id,
        key_id=erased.key_id,
        action=None if erased.action is None else Action(erased.action),
        decisions=list(erased.decisions),
    )
    return Answer(out)


ROUTES = (
    Route(
        "GET",
        "/reviews",
        "listReviews",
        list_reviews,
        "Verdicts that wait for a person",
        "casework",
        MODERATOR,
        {200: schemas.ReviewList},
        query=schemas.ReviewQuery,
    ),
    Route(
        "GET",
        "/reviews/{review_id}",
        "getReview",
        get_review,
        "One review, with what there is to rule on",
        "casework",
        MODERATOR,
        {200: schemas.ReviewRead},
        errors=(NotFound,),
        text=(
            "`verdict` is what the machine concluded when the upload came, `found_later` what a "
            "look-back found in it since, with the references that were not known then."
        ),
    ),
    Route(
        "POST",
        "/decisions",
        "decide",
        decide,
        "Rule on a review",
        "casework",
        MODERATOR,
        {201: schemas.DecisionOut},
        body=schemas.DecisionNew,
        errors=(NotFound, AlreadyDecided, Conflict),
    ),
    Route(
        "GET",
        "/decisions",
        "listDecisions",
        list_decisions,
        "What was ruled",
        "casework",
        MODERATOR,
        {200: schemas.DecisionList},
        query=schemas.DecisionQuery,
    ),
    Route(
        "GET",
        "/audit",
        "listAudit",
        list_audit,
        "Who did what",
        "casework",
        NOBODY_ELSE,
        {200: schemas.AuditList},
        query=schemas.AuditQuery,
    ),
    Route(
        "DELETE",
        "/uploads/{upload_id}",
        "eraseUpload",
        erase_upload,
        "Erase all that is kept of an upload",
        "casework",
        NOBODY_ELSE,
        {200: schemas.ErasedOut},
        query=schemas.EraseQuery,
        errors=(NotFound, Conflict, UploadBusy),
        text=(
            "Digests, metadata, fingerprints, the verdict, decided reviews and their decisions. "
            "The audit keeps who ruled, and that it was erased. Not while a review is open."
        ),
    ),
)
