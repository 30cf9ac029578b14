"""The Flask application, registered from the table of routes."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from flask import Flask, Request, Response, g, request
from gunicorn.http.errors import UnsupportedTransferCoding
from pydantic import BaseModel, TypeAdapter, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType

from api import members, openapi, problems, purging
from api.auth import Gate
from api.jobs import Runner
from api.metrics import Metrics
from api.parts import Parts
from api.problems import FieldError, InvalidFields
from api.routes.route import Answer, Call, Route, Service
from api.routes.table import ROUTES
from api.slots import Queue
from api.tracing import SILENT, Tracing
from api.uploads import IncomingFile, receive_form, receive_json
from api.walks import Walker
from hashdb.errors import NotFound
from hashdb.model import new_id
from hashdb.store.feed import ChangeFeed

log = logging.getLogger("seawall.http")

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_UNION_TAGS = frozenset({"pdq", "card", "phash", "videohash", "vpdq"})
_MOST_ERRORS = 20


def create_app(
    parts: Parts,
    *,
    background: bool = True,
    jobs: int | None = None,
    routes: Sequence[Route] = ROUTES,
    tracing: Tracing = SILENT,
) -> Flask:
    """The WSGI application over these parts. Make it after the process has forked: in the
    `background` it starts the threads that keep the index up and that do so many `jobs` at once
    (None: as many as leave half of the decoders to those who wait for an answer)."""
    app = Flask("api", static_folder="static", static_url_path="/static")
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    logging.getLogger("seawall").setLevel(parts.settings.log_level)
    settings = parts.settings
    queue = Queue.of(settings.decoders, settings.decode_queue)
    feed = ChangeFeed(parts.store, parts.index.ping)
    metrics = Metrics(
        {
            "seawall_change_feed": (
                "Whether the database tells this process of changes (1), or is asked (0)",
                "state",
                lambda: {"listening": float(feed.listens)},
            ),
            "seawall_index_codes": (
                "Codes in the index",
                "signal_type",
                lambda: parts.index.sizes(),
            ),
            "seawall_jobs": ("Promises by state", "state", lambda: _job_counts(parts)),
            "seawall_stored_rows": (
                "Rows of each kind when it was last purged, roughly",
                "kind",
                lambda: _stored(parts),
            ),
        }
    )
    queue.tell(metrics.in_hand)
    threads = max(1, settings.decoders // 2) if jobs is None else jobs
    runner = Runner(parts, metrics, threads=threads)
    gate = Gate(parts.store, settings.rate_limit, settings.rate_limit_storage)
    service = Service(parts, gate, metrics, runner, queue, openapi.document(routes))
    app.extensions["seawall"] = service
    for route in routes:
        _register(app, service, route, tracing)
    _register_hooks(app, metrics)
    walker = Walker(parts.store, settings)
    housekeeper = purging.Housekeeper(parts.store, settings, metrics)
    service.stops.extend((feed.stop, housekeeper.stop, walker.stop, runner.stop))
    if background:
        feed.start()
        housekeeper.start()
        if threads:
            runner.start()
            walker.start()
    return app


def _job_counts(parts: Parts) -> Mapping[str, float]:
    with parts.store.read() as tx:
        return {state.value: float(n) for state, n in tx.jobs.counts().items()}


def _stored(parts: Parts) -> Mapping[str, float]:
    with parts.store.read() as tx:
        found: Mapping[str, float] = tx.leases.report(purging.LEASE).get("stored", {})
    return found


def _register(app: Flask, service: Service, route: Route, tracing: Tracing) -> None:
    def view(**path: str) -> Response:
        g.route = route.path
        with tracing.request(route.method, route.path, request.headers) as answered:
            try:
                response = _respond(_handle(service, route, path))
            except Exception as error:
                answered(problems.problem_type(error).status)
                raise
            answered(response.status_code)
        return response

    # An upload_id may hold slashes.
    rule = re.sub(r"\{(\w+)\}", r"<\1>", route.path).replace("<upload_id>", "<path:upload_id>")
    app.add_url_rule(
        rule, route.name, view, methods=[route.method], provide_automatic_options=False
    )


def _handle(service: Service, route: Route, path: Mapping[str, str]) -> Answer:
    """Key, rate and role first; then what was sent; then the view."""
    key = None
    if route.roles:
        address = request.remote_addr or ""
        key = service.gate.authenticate(request.headers.get("Authorization"), address)
        g.key = key.id
        g.allowance = service.gate.count(key)
        service.gate.allow(key, route.roles)
    _check_path(path)
    query = None
    if route.query is not None:
        query = _from_texts(route.query, _single(request.args), "")
    elif route.roles and request.args:
        raise InvalidFields([FieldError(_pointer((n,)), "is not known") for n in request.args])
    prefers = route.prefer_async and _prefers_async(request)
    if route.form is not None and request.mimetype == "multipart/form-data":
        return _with_form(service, route, key, path, prefers)
    if route.body is not None:
        if request.mimetype != "application/json":
            raise UnsupportedMediaType
        raw = receive_json(request)
        body = _from_json(route.body, raw)
        call = Call(key, path, query, body=body, raw=raw, respond_async=prefers)
        return route.view(service, call)
    if route.form is not None:
        raise UnsupportedMediaType
    return route.view(service, Call(key, path, query))


def _with_form(
    service: Service, route: Route, key: Any, path: Mapping[str, str], prefers: bool
) -> Answer:
    """A slot is asked for before the body is read: who finds none need not send it."""
    assert route.form is not None
    settings = service.parts.settings
    limit = settings.max_upload_mb * 1024 * 1024
    with ExitStack() as held:
        with service.queue.receiving.taken():
            if not prefers:
                service.queue.judging.refuse_if_full()
            body = receive_form(request, settings.data_dir / "tmp", limit)
            received = held.enter_context(body)
            form = _from_texts(route.form, received.fields, "")
            media: IncomingFile = received.media
            call = Call(key, path, form=form, media=media, respond_async=prefers)
            if prefers:  # it is stored, and judged when its turn comes
                return route.view(service, call)
        with service.queue.judging.taken():
            return route.view(service, call)


def _prefers_async(asked: Request) -> bool:
    """RFC 7240: preferences are listed in any number of `Prefer` headers."""
    values = ",".join(asked.headers.getlist("Prefer")).lower().split(",")
    return any(v.split(";")[0].strip() == "respond-async" for v in values)


def _check_path(path: Mapping[str, str]) -> None:
    for name, value in path.items():
        try:
            _PATHS[name].validate_python(value)
        except ValidationError:
            raise NotFound(f"there is no {name.removesuffix('_id')} of that name") from None


_PATHS: dict[str, TypeAdapter[str]] = {
    name: TypeAdapter(kind) for name, kind in openapi.PATH_PARAMETERS.items()
}


def _single(values: MultiDict[str, str]) -> dict[str, str]:
    twice = [n for n in values if len(values.getlist(n)) > 1]
    if twice:
        raise InvalidFields([FieldError(_pointer((n,)), "sent more than once") for n in twice])
    return dict(values.items())


def _from_texts(model: type[BaseModel], texts: Mapping[str, str], root: str) -> BaseModel:
    try:
        return model.model_validate(texts)
    except ValidationError as e:
        raise _invalid(e) from None


def _from_json(model: type[BaseModel], raw: bytes) -> BaseModel:
    try:
        body = model.model_validate_json(raw)
    except ValidationError as e:
        raise _invalid(e) from None
    if twice := members.sent_twice(raw, body):
        pointers = [_pointer(place) for place in twice[:_MOST_ERRORS]]
        raise InvalidFields([FieldError(p, "sent more than once") for p in pointers])
    return body


def _invalid(error: ValidationError) -> InvalidFields:
    """pydantic's complaints, each with a pointer; never with what was sent."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return InvalidFields([FieldError(_pointer(f["loc"]), f["msg"]) for f in found[:_MOST_ERRORS]])


def _pointer(loc: tuple[int | str, ...]) -> str:
    parts = [
        str(part)
        for i, part in enumerate(loc)
        if not (part in _UNION_TAGS and i == 2 and loc[0] == "fingerprints")
    ]
    return "".join("/" + p.replace("~", "~0").replace("/", "~1") for p in parts)


def _respond(answer: Answer) -> Response:
    g.note = answer.note
    body: str | bytes | Iterator[str] | None
    body = answer.body.model_dump_json() if isinstance(answer.body, BaseModel) else answer.body
    response = Response(body, status=answer.status, content_type=_content_type(answer.media_type))
    response.headers.update(dict(answer.headers))
    return response


def _content_type(media_type: str) -> str:
    return f"{media_type}; charset=utf-8" if media_type == "text/html" else media_type


def _register_hooks(app: Flask, metrics: Metrics) -> None:
    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        sent = request.headers.get("X-Request-Id", "")
        g.request_id = sent if _REQUEST_ID.fullmatch(sent) else new_id("req")
        coding = request.headers.get("Transfer-Encoding", "chunked")
        if coding.strip().lower() != "chunked":  # gunicorn would pass on what is still zipped
            raise UnsupportedTransferCoding(coding)

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        metrics.problem(problems.problem_type(error).slug)
        return _problem(error)

    @app.after_request
    def end(response: Response) -> Response:
        own = SECURITY_HEADERS | {"X-Request-Id": g.request_id}
        allowance = g.get("allowance")
        if allowance is not None:
            own |= allowance.headers()
        set_already = {name.lower() for name, _ in response.headers}
        response.headers.extend((n, v) for n, v in own.items() if n.lower() not in set_already)
        seconds = time.perf_counter() - g.began
        route = g.get("route", "none")
        metrics.request(_method(request.method), route, response.status_code, seconds)
        _log_line(response, seconds)
        return response


def _problem(error: Exception) -> Response:
    kind = problems.problem_type(error)
    if kind.status >= 500:
        log.error("%s: %s", g.request_id, error, exc_info=kind.status == 500)
    body = problems.problem(error, request_id=g.request_id)
    response = Response(problems.dumps(body), status=kind.status, content_type=problems.MEDIA_TYPE)
    response.headers.update(dict(problems.problem_headers(error)))
    return response


def _method(method: str) -> str:
    known = ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS")
    return method if method in known else "other"


def _log_line(response: Response, seconds: float) -> None:
    if not log.isEnabledFor(logging.INFO):
        return
    facts: dict[str, object] = {
        "request": g.request_id,
        "method": _method(request.method),
        "route": g.get("route", "none"),
        "status": response.status_code,
        "ms": round(1000 * seconds, 1),
        "key": g.get("key", "-"),
        **g.get("note", {}),
    }
    log.info("%s", " ".join(f"{name}={value}" for name, value in facts.items()))
