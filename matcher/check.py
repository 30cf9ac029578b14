"""One upload's way, top to bottom."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO

from hashdb.errors import (
    BadMedia,
    ClassifierUnavailable,
    DescriptorUnavailable,
    SandboxFailed,
    SeawallError,
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
    now,
)
from hashdb.store import Store
from matcher.beside import NOTHING_BESIDE, Beside
from matcher.decide import Evidence, Failure, decide
from matcher.judge import Judge
from matcher.looks import (
    WHOLE_S,
    all_windows,
    as_look,
    closer_windows,
    dense_windows,
    interleaved,
    joined_local,
    surer,
    unsure,
    woven_windows,
)
from matcher.policy import Policy
from matcher.ports import Classifier, FingerprintMedia, Sampling, Window
from matcher.score import joined
from matcher.stopwatch import Span, Stopwatch

log = logging.getLogger(__name__)

PICTURES = 8
"""Pictures of an upload that a classifier is shown."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One upload as the caller sent it."""

    key_id: str
    upload_id: str
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
        span: Span = nullcontext,
    ) -> None:
        self._store = store
        self._judge = judge
        self._fingerprint = fingerprint
        self._policy = policy
        self._classifier = classifier
        self._seconds = seconds
        self._span = span

    def check_media(
        self,
        key_id: str,
        upload_id: str,
        media: BinaryIO,
        digests: Digests,
        *,
        classifications: Sequence[Classification] = (),
        metadata: Mapping[str, Any] | None = None,
        suspicious: bool = False,
    ) -> Verdict:
        """Judge a file. The verdict is recorded before it is returned.

        `suspicious`: what the caller says of the upload; a policy may look closer for it.

        The same `upload_id` with the same bytes from the same key gets the verdict it got before;
        with other bytes, or another `suspicious`, `UploadConflict`. Raises the `BadMedia` family
        where the file cannot be judged and the `Unavailable` family where a part that is needed
        does not answer.
        """
        asked = Asked(
            key_id,
            upload_id,
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
        look, matches, failures = self._look(asked, media, watch)
        with watch.stage("digest_lookup"):
            exact = self._judge.exact(digests, total_s=look.coverage.total_s)
        asked, failed = self._classified(asked, look, watch)
        found = joined(exact, matches)
        return self._conclude(asked, look, found, (*failures, *failed), watch)

    def check_hashes(
        self,
        key_id: str,
        upload_id: str,
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
            key_id, upload_id, digests, request_digest, tuple(classifications), metadata or {}
        )
        before = self._judged_before(asked)
        if before is not None:
            return before
        watch = Stopwatch(self._span)
        counted = self._judge.usable(fingerprints)
        look = as_look(fingerprints, counted, kind=kind, duration_s=duration_s)
        with watch.stage("digest_lookup"):
            exact = self._judge.exact(digests, total_s=look.coverage.total_s or None)
        matches, failures = self._find(look, watch)
        found = joined(exact, matches)
        asked, failed = self._classified(asked, look, watch)
        return self._conclude(
            asked, look, found, (*failures, *failed), watch, digest_only=not fingerprints
        )

    def _look(
        self, asked: Asked, media: BinaryIO, watch: Stopwatch
    ) -> tuple[MediaFingerprints, tuple[Match, ...], tuple[Failure, ...]]:
        """What is seen in the media and found in the index, by as many looks as that takes."""
        sampling = Sampling(
            dense=False,
            pictures=PICTURES if self._classifier else 0,
            describe=self._judge.describes,
            seconds=self._seconds,
        )
        with watch.stage("fingerprint"):
            look = self._fingerprint(media, sampling, self._first_signals(asked.suspicious))
        if look.local and self._settled_by_hashes(asked, look, watch):
            look = replace(look, local=())
        local, unseen = self._find_beside(look, watch, "local_features", self._judge.find_local)
        sound, unheard = self._find_beside(look, watch, "sound", self._judge.find_sound)
        neural, untold = self._find_beside(look, watch, "neural", self._judge.find_neural)
        look = replace(look, to_describe=())  # megabytes that nobody needs any more
        others = sound.and_also(neural)
        matches, failures = self._find(look, watch, local.and_also(others))
        if self._looks_closer(asked, look, matches):
            look, local, unseen = self._look_closer(media, look, watch)
            matches, failures = self._find(look, watch, local.and_also(others))
        windows = woven_windows(local.unsure, look.coverage.total_s)
        if windows and self._first_action(asked, look, matches) is not Action.BLOCK:
            local, untaken = self._look_apart(media, windows, local, watch)
            matches, failures = self._find(look, watch, local.and_also(others))
            failures = (*untaken, *failures)
        look, matches, second = self._look_again(media, look, matches, local, others, watch)
        return look, matches, (*unseen, *unheard, *untold, *failures, *second)

    def _settled_by_hashes(self, asked: Asked, look: MediaFingerprints, watch: Stopwatch) -> bool:
        """Whether hashes found all of the upload to be what the policy blocks."""
        if asked.suspicious or look.coverage.total_s < WHOLE_S:
            return False
        matches, _ = self._find(look, watch)
        banned = [
            m for m in matches if self._policy.for_bank(m.reference.bank).action is Action.BLOCK
        ]
        settled = self._judge.settled(look, banned)
        return settled and self._first_action(asked, look, matches) is Action.BLOCK

    def _first_action(
        self, asked: Asked, look: MediaFingerprints, matches: tuple[Match, ...]
    ) -> Action:
        """What the policy asks for by what was found so far."""
        query = Query(asked.upload_id, asked.digests)
        evidence = Evidence(query, look.kind, look.coverage, matches)
        return decide(evidence, self._policy).action

    def _signals(self) -> tuple[str, ...]:
        return tuple(s for s in self._policy.signals if s not in ("sha256", "md5"))

    def _first_signals(self, suspicious: bool) -> tuple[str, ...]:
        """What the first look is for; the child does not make what is not wanted."""
        if self._policy.local.when == "always" or suspicious:
            return self._signals()
        return tuple(s for s in self._signals() if s != "local")

    def _looks_closer(
        self, asked: Asked, look: MediaFingerprints, matches: tuple[Match, ...]
    ) -> bool:
        """Whether local features were not looked at yet, and are to be."""
        if self._policy.local.when != "unsure" or asked.suspicious:
            return False
        if "local" not in self._policy.signals:
            return False
        return unsure(self._first_action(asked, look, matches), matches, look.coverage)

    def _look_closer(
        self, media: BinaryIO, first: MediaFingerprints, watch: Stopwatch
    ) -> tuple[MediaFingerprints, Beside, tuple[Failure, ...]]:
        """The media decoded once more, for the local features of what the `first` look saw."""
        media.seek(0)
        sampling = Sampling(dense=False, seconds=self._seconds)
        try:
            with watch.stage("local_look"):
                closer = self._fingerprint(media, sampling, ("local",))
        except (BadMedia, SandboxFailed) as error:
            log.warning("the look at local features failed: %s", error)
            return first, NOTHING_BESIDE, (Failure("local_look", str(error)),)
        look = replace(first, local=closer.local, motion=closer.motion)
        found, failures = self._find_beside(look, watch, "local_features", self._judge.find_local)
        if closer.coverage.truncated and not first.coverage.truncated:
            failures = (*failures, Failure("local_look", "a limit or damage ended it"))
        return look, found, failures

    def _look_apart(
        self,
        media: BinaryIO,
        windows: tuple[Window, ...],
        local: Beside,
        watch: Stopwatch,
    ) -> tuple[Beside, tuple[Failure, ...]]:
        """What seems to be woven into each other, taken apart and looked at each by itself."""
        media.seek(0)
        sampling = Sampling(dense=False, windows=windows, strands=True, seconds=self._seconds)
        signals = tuple(s for s in self._signals() if s in ("pdq", "local"))
        try:
            with watch.stage("strands_look"):
                apart = self._fingerprint(media, sampling, signals)
        except (BadMedia, SandboxFailed) as error:
            log.warning("the look at what is woven in failed: %s", error)
            return local, (Failure("strands_look", str(error)),)
        if not apart.strands:
            return local, ()
        found, failures = self._find_beside(apart, watch, "local_features", self._judge.find_local)
        return local.or_apart(found, apart.strands), failures

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
        with self._store.ask() as tx:
            before = tx.uploads.verdict(asked.key_id, asked.upload_id)
        if before is None:
            return None
        verdict, request_digest = before
        if request_digest != asked.request_digest:
            raise UploadConflict(f"upload_id {asked.upload_id!r} was used with other content")
        return verdict

    def _find(
        self, look: MediaFingerprints, watch: Stopwatch, beside: Beside = NOTHING_BESIDE
    ) -> tuple[tuple[Match, ...], tuple[Failure, ...]]:
        with watch.stage("search_and_align"):
            try:
                matches = self._judge.find(
                    look.fingerprints,
                    total_s=look.coverage.total_s,
                    beside=beside,
                    motion=look.motion,
                )
                return matches, ()
            except (RuntimeError, MemoryError) as error:
                log.exception("the index failed")
                return (), (Failure("index", f"{type(error).__name__}: {error}"),)

    def _find_beside(
        self,
        look: MediaFingerprints,
        watch: Stopwatch,
        stage: str,
        find: Callable[[MediaFingerprints], Beside],
    ) -> tuple[Beside, tuple[Failure, ...]]:
        with watch.stage(stage):
            try:
                return find(look), ()
            except DescriptorUnavailable as error:
                log.warning("the descriptor model failed: %s", error)
                return NOTHING_BESIDE, (Failure("descriptor", str(error)),)
            except SeawallError:
                raise
            except Exception as error:  # one signal's fault must not cost the others' verdict
                log.exception("the index failed: %s", stage)
                return NOTHING_BESIDE, (Failure("index", f"{type(error).__name__}: {error}"),)

    def _look_again(
        self,
        media: BinaryIO,
        look: MediaFingerprints,
        matches: tuple[Match, ...],
        local: Beside,
        sound: Beside,
        watch: Stopwatch,
    ) -> tuple[MediaFingerprints, tuple[Match, ...], tuple[Failure, ...]]:
        """Where something was found, the frames around it looked at one by one; by local features
        too, where the first look left them unsure."""
        closer = closer_windows(local.unsure, look.coverage.total_s)
        windows = all_windows(dense_windows(matches, look), closer)
        if not windows:
            return look, matches, ()
        media.seek(0)
        sampling = Sampling(dense=False, windows=windows, seconds=self._seconds)
        left_out = ("videohash", "sound") if closer else ("videohash", "sound", "local")
        signals = tuple(s for s in self._signals() if s not in left_out)
        try:
            with watch.stage("second_look"):
                dense = self._fingerprint(media, sampling, signals)
        except (BadMedia, SandboxFailed) as error:
            log.warning("the second look failed: %s", error)
            return look, matches, (Failure("second_look", str(error)),)
        prints = interleaved(look.fingerprints, dense.fingerprints)
        look = replace(look, fingerprints=prints, local=joined_local(look.local, dense.local))
        unseen: tuple[Failure, ...] = ()
        if closer:
            nearer, unseen = self._find_beside(
                look, watch, "local_features", partial(self._judge.find_local, usual_only=True)
            )
            local = local.or_surer(nearer)
        found, failures = self._find(look, watch, local.and_also(sound))
        failures = (*unseen, *failures)
        if not dense.coverage.truncated:
            return look, found, failures
        ended = Failure("second_look", "a limit or damage ended it")
        return look, surer(matches, found), (*failures, ended)

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
            return self._store.together(
                lambda tx: tx.uploads.record(
                    asked.key_id,
                    asked.upload_id,
                    asked.request_digest,
                    verdict,
                    asked.digests,
                    upright,
                    metadata=asked.metadata,
                )
            )


def media_request_digest(digests: Digests, *, suspicious: bool) -> str:
    """What makes two requests with media the same: its bytes, and whether they are to be looked at
    as suspicious, for that may change the verdict."""
    return (digests.sha256 or "") + ("+suspicious" if suspicious else "")
