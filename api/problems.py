"""Errors as problem documents (RFC 9457): one table, from which the pages at /problems are made."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gunicorn.http import errors as http1
from werkzeug import exceptions as http

from hashdb import errors

log = logging.getLogger("seawall.http")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of problem. `open`: whether the error's own words may be shown to the caller."""

    slug: str
    status: int
    title: str
    text: str
    open: bool = True

    @property
    def uri(self) -> str:
        """A relative reference that the service itself answers with a page."""
        return f"/problems/{self.slug}"


_p = ProblemType
_TABLE = (
    _p("bad-request", 400, "The request cannot be read",
      "The request is not one that this service can read: broken multipart, a connection that "
      "ended in the middle of the body, or bytes that are no HTTP form. Send it again as the "
      "API's document describes it."),
    _p("invalid", 400, "The request cannot be used",
      "Something in the request cannot be used as it is. `detail` says what."),
    _p("bad-argument", 400, "A field is missing, unknown or out of range",
      "A field of the body, a query parameter or a form field is missing, unknown, sent twice "
      "or out of range. `errors` lists each with a JSON pointer (RFC 6901) to it."),
    _p("bad-fingerprint", 400, "A hash cannot be read",
      "A hash is not hex of its signal type's length, or the signal type is not known."),
    _p("unauthenticated", 401, "A key is needed",
      "No key was sent, or one that is not known or was revoked. Send "
      "`Authorization: Bearer KEY`; an operator makes keys with `seawall key create`."),
    _p("denied", 403, "Not allowed", "This may not be done."),
    _p("forbidden", 403, "The key's role may not do this",
      "The key is good, but its role is not one that this route is for."),
    _p("not-found", 404, "There is no such thing",
      "No bank, reference, upload, review or job of that name or id is there for this key."),
    _p("no-such-route", 404, "There is no such route",
      "The service has nothing at this path. `/openapi.json` lists what it has."),
    _p("method-not-allowed", 405, "The route has another method",
      "The path is right, the method is not. `Allow` lists the methods."),
    _p("conflict", 409, "It exists already, or differs",
      "What was sent does not agree with what is there."),
    _p("name-taken", 409, "A bank of that name exists",
      "Choose another name, or use that bank."),
    _p("upload-conflict", 409, "The same upload_id was used with another request",
      "An `upload_id` names one upload for good: this one was judged with other content. Hold "
      "the upload, and ask again under a new `upload_id`."),
    _p("upload-busy", 409, "The upload is still needed",
      "It cannot be erased now: a review of it waits for a person, or a job is still to judge it. "
      "Rule on the review, or wait for the job, and ask again."),
    _p("already-decided", 409, "The review has a decision",
      "Somebody ruled on this review before. Read the decision before you go on."),
    _p("media-too-large", 413, "The media is too large",
      "The file is over the service's limit of bytes, or the picture over its limit of pixels, or "
      "an animation has more than a million pictures or 256 MB, or decoding needs more memory than "
      "one decoder may take. It was not judged: hold it for a person."),
    _p("body-too-large", 413, "The body is too large",
      "The request's body or one of its form fields is over the service's limit."),
    _p("uri-too-long", 414, "The request's line is too long",
      "Method, path and query together are longer than the service reads (4094 bytes)."),
    _p("unsupported-content-type", 415, "The body's Content-Type is not one that is read here",
      "The API's document lists for each route which types it reads: `application/json`, "
      "`multipart/form-data`, or both."),
    _p("expectation-failed", 417, "The expectation cannot be met",
      "The only `Expect` that this service knows is `100-continue`."),
    _p("bad-media", 422, "The media cannot be judged",
      "The media could not be judged. Hold it: nothing was concluded of it."),
    _p("empty-media", 422, "The media is empty", "The file has 0 bytes."),
    _p("unsupported-media", 422, "Neither an image nor a video of an allowed format",
      "The file's content (not its name) is in no format that is let in. Playlists, files that "
      "refer to other files, documents and archives are not let in. It was not judged: hold it."),
    _p("corrupt-media", 422, "The media is damaged",
      "The format is known, but not one frame could be decoded. It was not judged: hold it."),
    _p("no-picture", 422, "The media has no picture",
      "The file has sound only, without a cover picture, or no track at all. It was not judged: "
      "hold it, or pass it on to what judges sound."),
    _p("media-timeout", 422, "The media took too long",
      "Decoding reached the limit of time before a frame could be judged. "
      "Hold it for a person."),
    _p("rate-limited", 429, "Too many requests",
      "This key, or this address with wrong keys, asked too often. `Retry-After` says for how "
      "many seconds to wait. Hold the upload meanwhile."),
    _p("headers-too-large", 431, "The headers are too large",
      "There are more than 100 header fields, or one of them is longer than 8190 bytes."),
    _p("internal", 500, "The service has a fault",
      "Something went wrong that should not have; it was logged under the `request_id`. Hold "
      "the upload and try again.", open=False),
    _p("misconfigured", 500, "The service is not set up properly",
      "The written policy or a setting is not valid; an operator finds more in the log.",
      open=False),
    _p("unsupported-transfer-coding", 501, "The body's Transfer-Encoding is not known",
      "The only `Transfer-Encoding` that this service reads is `chunked`."),
    _p("unavailable", 503, "A part does not answer",
      "A part that is needed does not answer. Hold the upload and try again after "
      "`Retry-After` seconds.", open=False),
    _p("database-unavailable", 503, "The database does not answer",
      "Nothing was recorded. Hold the upload and try again after `Retry-After` seconds.",
      open=False),
    _p("index-unavailable", 503, "The index does not answer",
      "The server that holds the frame hashes does not answer, or not in time. It was not judged: "
      "hold the upload and try again after `Retry-After` seconds.", open=False),
    _p("sandbox-failed", 503, "The decoder died",
      "The process that decodes media ended without an answer. Hold the upload and try again; "
      "media that does this every time should be looked at by a person."),
    _p("queue-full", 503, "Too many uploads are in hand",
      "As many uploads with media as the service takes at once are on their way or wait for a "
      "decoder. It was not judged: hold it, and send it again after `Retry-After` seconds, or "
      "with `Prefer: respond-async`. Hashes are judged meanwhile."),
    _p("classifier-unavailable", 503, "The classifier does not answer",
      "The written policy wants a classifier's opinion, and there is none to be had. Hold the "
      "upload and try again.", open=False),
    _p("descriptor-unavailable", 503, "The descriptor model failed",
      "The model that describes pictures failed, so that the media was not added. Try again; an "
      "operator finds more in the log.", open=False),
    _p("partner-unavailable", 503, "The exchange's other side does not answer",
      "The partner's feed could not be read. What was read before stays.", open=False),
    _p("job-abandoned", 503, "The job was given up",
      "Each of several attempts at this upload ended without an answer. It was not judged: "
      "hold it for a person."),
    _p("not-upgraded", 503, "The database waits for its upgrade",
      "The schema is not this version's: an operator runs `seawall db upgrade`.", open=False),
    _p("bad-snapshot", 503, "The index is being rebuilt",
      "The index's file is damaged; it is made anew from the database.", open=False),
)  # fmt: skip


PROBLEMS: dict[str, ProblemType] = {p.slug: p for p in _TABLE}

BY_ERROR: dict[type[Exception], ProblemType] = {
    error: PROBLEMS[slug]
    for error, slug in {
        errors.SeawallError: "internal",
        errors.Invalid: "invalid",
        errors.BadArgument: "bad-argument",
        errors.BadFingerprint: "bad-fingerprint",
        errors.BadPolicy: "misconfigured",
        errors.BadSetting: "misconfigured",
        errors.BadMedia: "bad-media",
        errors.EmptyMedia: "empty-media",
        errors.UnsupportedMedia: "unsupported-media",
        errors.CorruptMedia: "corrupt-media",
        errors.NoPicture: "no-picture",
        errors.MediaTooLarge: "media-too-large",
        errors.MediaTimeout: "media-timeout",
        errors.NotFound: "not-found",
        errors.Conflict: "conflict",
        errors.NameTaken: "name-taken",
        errors.UploadConflict: "upload-conflict",
        errors.UploadBusy: "upload-busy",
        errors.AlreadyDecided: "already-decided",
        errors.Denied: "denied",
        errors.Unauthenticated: "unauthenticated",
        errors.Forbidden: "forbidden",
        errors.RateLimited: "rate-limited",
        errors.Unavailable: "unavailable",
        errors.DatabaseUnavailable: "database-unavailable",
        errors.IndexUnavailable: "index-unavailable",
        errors.SandboxFailed: "sandbox-failed",
        errors.QueueFull: "queue-full",
        errors.ClassifierUnavailable: "classifier-unavailable",
        errors.DescriptorUnavailable: "descriptor-unavailable",
        errors.PartnerUnavailable: "partner-unavailable",
        errors.NotUpgraded: "not-upgraded",
        errors.BadSnapshot: "bad-snapshot",
        http.HTTPException: "bad-request",
        http.NotFound: "no-such-route",
        http.MethodNotAllowed: "method-not-allowed",
        http.RequestEntityTooLarge: "body-too-large",
        http.UnsupportedMediaType: "unsupported-content-type",
        http.InternalServerError: "internal",
        http.ServiceUnavailable: "unavailable",
        http1.ParseException: "bad-request",
        http1.InvalidResponseHeader: "internal",
        http1.InvalidResponseHeaderName: "internal",
        http1.LimitRequestLine: "uri-too-long",
        http1.LimitRequestHeaders: "headers-too-large",
        http1.ExpectationFailed: "expectation-failed",
        http1.UnsupportedTransferCoding: "unsupported-transfer-coding",
        Exception: "internal",
    }.items()
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `pointer` is an RFC 6901 JSON pointer into the body, or into
    an object of the query's parameters or the form's fields."""

    pointer: str
    detail: str


class InvalidFields(errors.BadArgument):
    """Fields of a request that are missing, unknown or out of range, each with its place."""

    def __init__(self, fields: list[FieldError]):
        self.fields = fields
        super().__init__("; ".join(f"{f.pointer or '/'}: {f.detail}" for f in fields[:3]))


class TooMany(errors.RateLimited):
    """Over a rate limit; `retry_after` in seconds, `headers` that tell the limit."""

    def __init__(self, message: str, retry_after: int, headers: Mapping[str, str] | None = None):
        self.retry_after = retry_after
        self.headers = headers or {}
        super().__init__(message)


class NoSlot(errors.QueueFull):
    """Too many uploads at once; `retry_after` in seconds."""

    def __init__(self, message: str, retry_after: int):
        self.retry_after = retry_after
        super().__init__(message)


def problem_type(error: BaseException) -> ProblemType:
    """The table's line for an error: its own class's, or the nearest base class's."""
    for cls in type(error).__mro__:
        if cls in BY_ERROR:
            return BY_ERROR[cls]
    return PROBLEMS["internal"]


def problem(error: BaseException, *, request_id: str | None = None) -> dict[str, Any]:
    """The problem document of an error; the words of errors from within are not shown."""
    kind = problem_type(error)
    body: dict[str, Any] = {"type": kind.uri, "title": kind.title, "status": kind.status}
    if isinstance(error, http.HTTPException):
        body["detail"] = kind.text
    elif kind.open and isinstance(error, errors.SeawallError) and str(error):
        body["detail"] = str(error)
    else:
        body["detail"] = kind.text
    if isinstance(error, InvalidFields):
        body["errors"] = [{"pointer": f.pointer, "detail": f.detail} for f in error.fields]
    if request_id is not None:
        body["request_id"] = request_id
    return body


def problem_headers(error: BaseException) -> Mapping[str, str]:
    """The headers that belong to an error's answer."""
    status = problem_type(error).status
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="seawall"'
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.retry_after)
        headers.update(error.headers)
    elif isinstance(error, NoSlot):
        headers["Retry-After"] = str(error.retry_after)
    elif status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, http.MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return headers


def dumps(body: Mapping[str, Any]) -> str:
    """A problem document as text; characters outside of ASCII are escaped, lone ones too."""
    return json.dumps(body)
