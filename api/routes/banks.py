"""Banks and references."""

from __future__ import annotations

from api import jobs, render, schemas
from api.bank_change import change_bank
from api.hashes import digests_of, fingerprints_of
from api.routes.matching import MEDIA_ERRORS, promised
from api.routes.route import Answer, Call, Route, Service
from api.uploads import IncomingFile
from hashdb.errors import BadFingerprint, NameTaken, NotFound
from hashdb.model import Bank, MediaKind, Reference, Role


def create_bank(service: Service, call: Call) -> Answer:
    body: schemas.BankNew = call.body
    with service.parts.store.begin() as tx:
        bank = tx.banks.create(body.name, action=body.action, label=body.label)
        tx.audit.record(call.key.id, "bank.create", bank.id, body.model_dump(mode="json"))
    return Answer(render.bank_out(bank), 201, {"Location": f"/banks/{bank.name}"})


def list_banks(service: Service, call: Call) -> Answer:
    with service.parts.store.read() as tx:
        banks = tx.banks.list()
    return Answer(schemas.BankList(items=[render.bank_out(b) for b in banks]))


def get_bank(service: Service, call: Call) -> Answer:
    return Answer(render.bank_out(_bank(service, call.path["bank"])))


def patch_bank(service: Service, call: Call) -> Answer:
    body: schemas.BankChange = call.body
    with service.parts.store.begin() as tx:
        bank = change_bank(tx, call.path["bank"], body, actor=call.key.id)
    return Answer(render.bank_out(bank))


def _bank(service: Service, name_or_id: str) -> Bank:
    with service.parts.store.read() as tx:
        return tx.banks.get(name_or_id)


def add_reference(service: Service, call: Call) -> Answer:
    if call.media is not None and call.respond_async:
        return _promise(service, call, call.media)
    if call.media is not None:
        reference, created = _add_media(service, call, call.media)
    else:
        reference, created = _add_hashes(service, call)
    headers = {"Location": f"/references/{reference.id}"}
    status = 201 if created else 200
    note = {"reference": reference.id, "bank": reference.bank.name}
    return Answer(render.reference_out(reference), status, headers, note=note)


def _promise(service: Service, call: Call, media: IncomingFile) -> Answer:
    form: schemas.ReferenceForm = call.form
    payload = {
        "bank": _bank(service, form.bank).id,
        "sha256": media.digests.sha256,
        "md5": media.digests.md5,
        "source": form.source,
        "metadata": form.metadata,
    }
    job = jobs.promise_reference(service.parts, call.key, media.media(), payload)
    return promised(service, job.id)


def _add_media(service: Service, call: Call, media: IncomingFile) -> tuple[Reference, bool]:
    form: schemas.ReferenceForm = call.form
    return service.parts.enroller.add_media(
        _bank(service, form.bank),
        media.media(),
        media.digests,
        actor=call.key.id,
        source=form.source,
        metadata=form.metadata,
    )


def _add_hashes(service: Service, call: Call) -> tuple[Reference, bool]:
    body: schemas.ReferenceNew = call.body
    fingerprints = fingerprints_of(service.parts, body)
    kind = body.kind
    if kind is None:
        moving = body.duration or any(f.offsets.max(initial=0.0) > 0 for f in fingerprints)
        kind = MediaKind.VIDEO if moving else MediaKind.IMAGE
    return service.parts.enroller.add_hashes(
        _bank(service, body.bank),
        digests_of(body),
        fingerprints,
        kind=kind,
        actor=call.key.id,
        source=body.source,
        duration_s=body.duration,
        metadata=body.metadata,
    )


def list_references(service: Service, call: Call) -> Answer:
    query: schemas.ReferenceQuery = call.query
    with service.parts.store.read() as tx:
        found, after = tx.banks.references(
            bank=query.bank,
            text=query.text,
            state=query.state,
            digest=query.digest.lower() if query.digest else None,
            limit=query.limit,
            after=query.cursor,
        )
    items = [render.reference_out(r) for r in found]
    return Answer(schemas.ReferenceList(items=items, next=after))


def get_reference(service: Service, call: Call) -> Answer:
    with service.parts.store.read() as tx:
        return Answer(render.reference_out(tx.banks.reference(call.path["reference_id"])))


def change_reference(service: Service, call: Call) -> Answer:
    body: schemas.ReferenceChange = call.body
    reference = service.parts.enroller.set_enabled(
        call.path["reference_id"], body.enabled, actor=call.key.id
    )
    return Answer(render.reference_out(reference))


def withdraw_reference(service: Service, call: Call) -> Answer:
    reference = service.parts.enroller.withdraw(call.path["reference_id"], actor=call.key.id)
    return Answer(render.reference_out(reference))


MODERATOR = frozenset({Role.MODERATOR})

_BANKS = (
    Route(
        "POST",
        "/banks",
        "createBank",
        create_bank,
        "Make a bank",
        "banks",
        MODERATOR,
        {201: schemas.BankOut},
        body=schemas.BankNew,
        errors=(NameTaken,),
    ),
    Route(
        "GET",
        "/banks",
        "listBanks",
        list_banks,
        "All banks",
        "banks",
        MODERATOR,
        {200: schemas.BankList},
    ),
    Route(
        "GET",
        "/banks/{bank}",
        "getBank",
        get_bank,
        "One bank, by name or id",
        "banks",
        MODERATOR,
        {200: schemas.BankOut},
        errors=(NotFound,),
    ),
    Route(
        "PATCH",
        "/banks/{bank}",
        "changeBank",
        patch_bank,
        "Change a bank's name, action or label, or switch it off and on",
        "banks",
        MODERATOR,
        {200: schemas.BankOut},
        body=schemas.BankChange,
        errors=(NotFound, NameTaken),
    ),
)

_REFERENCES = (
    Route(
        "POST",
        "/references",
        "addReference",
        add_reference,
        "Add a reference to a bank, by its media or by hashes",
        "references",
        MODERATOR,
        {201: schemas.ReferenceOut, 200: schemas.ReferenceOut, 202: schemas.JobOut},
        body=schemas.ReferenceNew,
        form=schemas.ReferenceForm,
        errors=(NotFound, BadFingerprint, *MEDIA_ERRORS),
        prefer_async=True,
        text=(
            "200 instead of 201: the bank had it already, and this is it. With `Prefer: "
            "respond-async` media are taken with 202 and enrolled by a job that outlives a crash "
            "of the service."
        ),
    ),
    Route(
        "GET",
        "/references",
        "listReferences",
        list_references,
        "Search references",
        "references",
        MODERATOR,
        {200: schemas.ReferenceList},
        query=schemas.ReferenceQuery,
        errors=(NotFound,),
    ),
    Route(
        "GET",
        "/references/{reference_id}",
        "getReference",
        get_reference,
        "One reference",
        "references",
        MODERATOR,
        {200: schemas.ReferenceOut},
        errors=(NotFound,),
    ),
    Route(
        "PATCH",
        "/references/{reference_id}",
        "changeReference",
        change_reference,
        "Disable or enable a reference",
        "references",
        MODERATOR,
        {200: schemas.ReferenceOut},
        body=schemas.ReferenceChange,
        errors=(NotFound,),
    ),
    Route(
        "DELETE",
        "/references/{reference_id}",
        "withdrawReference",
        withdraw_reference,
        "Withdraw a reference for good",
        "references",
        MODERATOR,
        {200: schemas.ReferenceOut},
        errors=(NotFound,),
        text="It stays on record and matches nothing.",
    ),
)

ROUTES = _BANKS + _REFERENCES
