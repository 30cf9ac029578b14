"""One upload's way, top to bottom."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from hashdb.errors import (
    ClassifierUnavailable,
    UploadConflict,
)
from hashdb.model import (
    Action,
    Classification,
    Coverage,
    Digests,
    Fingerprint,
    Match,
    MediaFingerprints,
    MediaKind,
    Orientation,
    Query,
    Verdict,
    new_id,
    now,
)
from hashdb.store import Store, Transaction
from matcher.decide import Evidence, Failure, decide
from matcher.judge import Judge
from matcher.looker import Looker
from matcher.looks import (
    as_look,
)
from matcher.policy import Policy
from matcher.ports import Classifier, FingerprintMedia
from matcher.score import joined
from matcher.stopwatch import Span, Stopwatch

log = logging.getLogger(__name__)

PICTURES = 8
"""Pictures of an upload that a classifier is shown."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One upload as the caller sent it; `named`: by an id of his own, under which something may
    have been judged before."""

    key_id: str
    upload_id: str
    named: bool
    digests: Digests
    request_digest: str
    classifications: tuple[Classification, ...]
    metadata: Mapping[str, Any]
    suspicious: bool = False


class Checker:
    """Judges uploads and records what was concluded. Any number of threads may use one."""

    def __init__(
        self,
        store: Store,
        judge: Judge,
        fingerprint: FingerprintMedia,
        policy: Policy,
        *,
        classifier: Classifier | None = None,
        seconds: float = 120.0,
        sampling_key: str = "",
        span: Span = nullcontext,
    ) -> None:
        self._store = store
        self._judge = judge
        self._policy = policy
        self._classifier = classifier
        pictures = PICTURES if classifier else 0
        self._looker = Looker(
            judge,
            fingerprint,
            policy,
            pictures=pictures,
            seconds=seconds,
            sampling_key=sampling_key,
        )
        self._span = span

    def check_media(
        self,
        key_id: str,
        upload_id: str | None,
        media: BinaryIO,
        digests: Digests,
        *,
        classifications: Sequence[Classification] = (),
        metadata: Mapping[str, Any] | None = None,
        suspicious: bool = False,
    ) -> Verdict:
        """Judge a file. The verdict is recorded before it is returned. None as `upload_id`: one is
        made.

        `suspicious`: what the caller says of the upload; a policy may look closer for it.

        The same `upload_id` with the same bytes from the same key gets the verdict it got before;
        with other bytes, or another `suspicious`, or while a job is to judge other ones under that
        id, `UploadConflict`. Raises the `BadMedia` family where the file cannot be judged and the
        `Unavailable` family where a part that is needed does not answer.
        """
        asked = Asked(
            key_id,
            upload_id or new_id("upl"),
            upload_id is not None,
            digests,
            media_request_digest(digests, suspicious=suspicious),
            tuple(classifications),
            metadata or {},
            suspicious,
        )
        before = self._judged_before(asked)
        if before is not None:
            return before
        watch = Stopwatch(self._span)
        with watch.stage("digest_lookup"):
            exact = self._judge.exact(digests)
        known = self._settled(exact)
        if known is not None:
            return self._conclude(asked, known, exact, (), watch)
        query = Query(asked.upload_id, digests)
        seen = self._looker.look(query, media, watch, suspicious=suspicious)
        with watch.stage("digest_lookup"):
            exact = self._judge.exact(digests, total_s=seen.look.coverage.total_s)
        asked, failed = self._classified(asked, seen.look, watch)
        found = joined(exact, seen.matches)
        return self._conclude(asked, seen.look, found, (*seen.failures, *failed), watch)

    def check_hashes(
        self,
        key_id: str,
        upload_id: str | None,
        digests: Digests,
        fingerprints: Sequence[Fingerprint],
        *,
        request_digest: str,
        kind: MediaKind | None = None,
        duration_s: float | None = None,
        classifications: Sequence[Classification] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Verdict:
        """Judge an upload that the caller hashed; otherwise as `check_media`.

        `kind` and `duration_s` are read off the offsets where they are not given.
        """
        asked = Asked(
            key_id,
            upload_id or new_id("upl"),
            upload_id is not None,
            digests,
            request_digest,
            tuple(classifications),
            metadata or {},
        )
        before = self._judged_before(asked)
        if before is not None:
            return before
        watch = Stopwatch(self._span)
        counted = self._judge.usable(fingerprints)
        look = as_look(fingerprints, counted, kind=kind, duration_s=duration_s)
        with watch.stage("digest_lookup"):
            exact = self._judge.exact(digests, total_s=look.coverage.total_s or None)
        matches, failures = self._looker.find(look, watch)
        found = joined(exact, matches)
        asked, failed = self._classified(asked, look, watch)
        return self._conclude(
            asked, look, found, (*failures, *failed), watch, digest_only=not fingerprints
        )

    def _settled(self, exact: Sequence[Match]) -> MediaFingerprints | None:
        """What there is to say of a file whose SHA-256 settles it, so that it need not be decoded:
        nothing can outrank a block, nor explain more than an allowed file where no model is asked.
        """
        for match in exact:
            reference = match.reference
            action = self._policy.for_bank(reference.bank).action
            enough = action is Action.BLOCK or (action is Action.ALLOW and not self._classifier)
            if (
                enough
                and reference.frames
                and any(s.signal_type == "sha256" for s in match.signals)
            ):
                seconds = reference.duration_s or 0.0
                coverage = Coverage(seconds, seconds, reference.frames, 0)
                return MediaFingerprints(reference.kind, (), coverage)
        return None

    def _judged_before(self, asked: Asked) -> Verdict | None:
        if not asked.named:
            return None
        with self._store.ask() as tx:
            before = tx.uploads.verdict(asked.key_id, asked.upload_id)
        if before is None:
            return None
        verdict, request_digest = before
        if request_digest != asked.request_digest:
            raise _other_content(asked)
        return verdict

    def _classified(
        self, asked: Asked, look: MediaFingerprints, watch: Stopwatch
    ) -> tuple[Asked, tuple[Failure, ...]]:
        if self._classifier is None:
            return asked, ()
        if not look.pictures:
            unseen = Failure("classifier", "it was given no picture")
            return asked, () if asked.classifications else (unseen,)
        try:
            with watch.stage("classify"):
                scores = self._classifier.classify(look.pictures)
        except ClassifierUnavailable as error:
            log.warning("classifier failed for upload %s: %s", asked.upload_id, error)
            return asked, (Failure("classifier", str(error)),)
        return replace(asked, classifications=(*asked.classifications, *scores)), ()

    def _conclude(
        self,
        asked: Asked,
        look: MediaFingerprints,
        matches: tuple[Match, ...],
        failures: tuple[Failure, ...],
        watch: Stopwatch,
        *,
        digest_only: bool = False,
    ) -> Verdict:
        with watch.stage("decide"):
            ruling = decide(
                Evidence(
                    query=Query(asked.upload_id, asked.digests),
                    kind=look.kind,
                    coverage=look.coverage,
                    matches=matches,
                    classifications=asked.classifications,
                    failures=failures,
                    digest_only=digest_only,
                ),
                self._policy,
            )
        verdict = Verdict(
            upload_id=asked.upload_id,
            action=ruling.action,
            reason=ruling.reason,
            matches=ruling.matches,
            coverage=look.coverage,
            classifications=ruling.classifications,
            policy_version=self._policy.version,
            timings_ms=watch.milliseconds(),
            judged_at=now(),
        )
        upright = [f for f in look.fingerprints if f.orientation == Orientation.ORIGINAL]
        with self._span("record"):
            return self._store.together(lambda tx: _record(tx, asked, verdict, upright))


def _record(
    tx: Transaction, asked: Asked, verdict: Verdict, upright: Sequence[Fingerprint]
) -> Verdict:
    if asked.named:
        tx.uploads.hold(asked.key_id, asked.upload_id)
        promised = tx.jobs.promised(asked.key_id, asked.upload_id)
        if promised is not None and promised.payload["request_digest"] != asked.request_digest:
            raise _other_content(asked)
    return tx.uploads.record(
        asked.key_id,
        asked.upload_id,
        asked.request_digest,
        verdict,
        asked.digests,
        upright,
        metadata=asked.metadata,
    )


def _other_content(asked: Asked) -> UploadConflict:
    return UploadConflict(f"upload_id {asked.upload_id!r} was used with other content")


def media_request_digest(digests: Digests, *, suspicious: bool) -> str:
    """What makes two requests with media the same: its bytes, and whether they are to be looked at
    as suspicious, for that may change the verdict."""
    return (digests.sha256 or "") + ("+suspicious" if suspicious else "")
