"""Looks at one upload until it is told what it shows: each sees what the one before left open.

docs/decisions/0008-two-looks.md says why there are several.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

import numpy as np

from hashdb.errors import BadMedia, DescriptorUnavailable, SandboxFailed, SeawallError
from hashdb.model import Action, Match, MediaFingerprints, Query
from matcher.ahead import Ahead
from matcher.beside import NOTHING_BESIDE, Beside
from matcher.decide import Evidence, Failure, decide
from matcher.judge import Judge
from matcher.looks import (
    SPARSE_S,
    WHOLE_S,
    all_windows,
    checking_windows,
    closer_windows,
    dense_windows,
    described_at,
    filling_windows,
    is_sparse,
    joined_codes,
    joined_local,
    near,
    outside,
    surer,
    timing_windows,
    unsure,
    woven_windows,
)
from matcher.played import NOT_WATCHED, Watched
from matcher.policy import Policy
from matcher.ports import FingerprintMedia, Sampling, Window
from matcher.stopwatch import Stopwatch

log = logging.getLogger(__name__)

GREYS = 32
"""Pictures of an upload that are kept in grey until it is judged, at least, or all; fewer than
twice as many, of 150 kB mostly."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was seen of an upload, what is known of it, and what failed on the way."""

    look: MediaFingerprints
    matches: tuple[Match, ...]
    failures: tuple[Failure, ...]


class Looker:
    """Looks at uploads. Any number of threads may use one.

    `pictures`: how many pictures of an upload a classifier wants; `seconds`: CPU time of one look;
    `sampling_key`: a secret, by which it is drawn for each file which of its pictures are looked
    at: who uploads may know the rule. Without one, they lie evenly.
    """

    def __init__(
        self,
        judge: Judge,
        fingerprint: FingerprintMedia,
        policy: Policy,
        *,
        pictures: int,
        seconds: float,
        sampling_key: str = "",
    ) -> None:
        self._judge = judge
        self._fingerprint = fingerprint
        self._policy = policy
        self._pictures = pictures
        self._seconds = seconds
        self._key = sampling_key.encode()

    def look(
        self, query: Query, media: BinaryIO, watch: Stopwatch, *, suspicious: bool = False
    ) -> Looked:
        """What is seen in the media and found in the index, by as many looks as that takes. Raises
        as `fingerprint` does where the first one fails."""
        look, ahead = self._first_look(query, media, watch, suspicious=suspicious)
        find_local = partial(self._judge.find_local, ahead=ahead)
        local, unseen = self._find_beside(look, watch, "local_features", find_local)
        sound, unheard = self._find_beside(look, watch, "sound", self._judge.find_sound)
        neural, untold = self._find_beside(look, watch, "neural", self._judge.find_neural)
        look = replace(look, to_describe=())  # megabytes that nobody needs any more
        others = sound.and_also(neural)
        matches, failures = self.find(look, watch, local.and_also(others))
        if not suspicious and self._looks_closer(query, look, matches):
            look, local, unseen = self._look_closer(query, media, look, watch)
            matches, failures = self.find(look, watch, local.and_also(others))
        fuller, missed = self._fill(media, look, local, matches, watch)
        if fuller is not look:
            filled, lost = self._find_beside(fuller, watch, "local_features", find_local)
            found, failed = self.find(fuller, watch, filled.and_also(others))
            missed = (*missed, *lost, *failed)
            if not (lost or failed):
                look, local, matches = fuller, filled, found
        every, total = NOT_WATCHED, look.coverage.total_s
        action = self._first_action(query, look, matches)
        timing = () if action is Action.BLOCK else timing_windows(local.untimed, total)
        checking = () if action is Action.ALLOW else checking_windows(local.doubted, total)
        if timing or checking:
            every, unmoved = self._look_at_motion(media, timing, checking, watch)
            missed = (*missed, *unmoved)
            if every.motion or every.greys:
                find_local = partial(find_local, every=every)
                timed, untimed = self._find_beside(look, watch, "local_features", find_local)
                local = local if untimed else local.or_surer(timed)
                found, failed = self.find(look, watch, local.and_also(others))
                missed = (*missed, *untimed, *failed)
                matches = matches if failed else found
        windows = woven_windows(local.unsure, look.coverage.total_s)
        if windows and self._first_action(query, look, matches) is not Action.BLOCK:
            apart, unwoven = self._look_apart(media, windows, local, watch)
            missed = (*missed, *unwoven)
            if apart is not local:
                local = apart
                matches, failures = self.find(look, watch, local.and_also(others))
        look, matches, second = self._look_again(media, look, matches, local, others, every, watch)
        return Looked(look, matches, (*unseen, *unheard, *untold, *missed, *failures, *second))

    def _first_look(
        self, query: Query, media: BinaryIO, watch: Stopwatch, *, suspicious: bool
    ) -> tuple[MediaFingerprints, Ahead | None]:
        """What is seen in the media, without local features where they can tell nothing; and what
        was looked up meanwhile. Of a short upload every other picture is described only where
        something was seen in the others, or hashes leave it open."""
        signals = self._first_signals(suspicious=suspicious)
        aside = "local" in signals and not suspicious
        ahead = self._judge.ahead(aside=aside) if "local" in signals else None
        sampling = Sampling(
            dense=False,
            pictures=self._pictures,
            describe=self._judge.describes,
            aside=aside,
            greys=GREYS if "local" in signals else 0,
            draw=self._draw(query),
            seconds=self._seconds,
        )
        early = None if ahead is None else ahead.see
        asked: list[bool] = []

        def wants_all(found: MediaFingerprints) -> bool:
            asked.append(self._wants_all(query, found, ahead, watch))
            return asked[-1]

        with watch.stage("fingerprint"):
            look = self._fingerprint(media, sampling, signals, early=early, wants_all=wants_all)
        if not asked and look.local and not suspicious:
            asked.append(not self._settled(query, look, self.find(look, watch)[0]))
        return replace(look, local=()) if False in asked else look, ahead

    def _draw(self, query: Query) -> int:
        """The same for each look at the same bytes; 0 without a secret."""
        if not self._key:
            return 0
        said = hmac.digest(self._key, (query.digests.sha256 or "").encode(), "sha256")
        return int.from_bytes(said[:4]) | 1

    def _wants_all(
        self, query: Query, found: MediaFingerprints, ahead: Ahead | None, watch: Stopwatch
    ) -> bool:
        """Whether the pictures that were set aside may tell more, by what was `found` without
        them: its local features are those that were not looked up yet."""
        matches, failures = self.find(found, watch)
        if matches or failures or ahead is None:
            return not self._settled(query, found, matches)
        ahead.see(found)
        return not ahead.saw_nothing

    def _settled(self, query: Query, look: MediaFingerprints, matches: tuple[Match, ...]) -> bool:
        """Whether hashes found all of the upload to be what the policy blocks, and nothing of an
        allow-list: then where in the picture each is matters, and only local features tell."""
        if look.coverage.total_s < WHOLE_S or self._any_allowed(matches):
            return False
        banned = [
            m for m in matches if self._policy.for_bank(m.reference.bank).action is Action.BLOCK
        ]
        settled = self._judge.settled(look, banned)
        return settled and self._first_action(query, look, matches) is Action.BLOCK

    def _first_action(
        self, query: Query, look: MediaFingerprints, matches: tuple[Match, ...]
    ) -> Action:
        """What the policy asks for by what was found so far."""
        evidence = Evidence(query, look.kind, look.coverage, matches)
        return decide(evidence, self._policy).action

    def _any_allowed(self, matches: Iterable[Match]) -> bool:
        """Whether an allow-list's reference is among them."""
        return any(self._policy.for_bank(m.reference.bank).action is Action.ALLOW for m in matches)

    def _signals(self) -> tuple[str, ...]:
        return tuple(s for s in self._policy.signals if s not in ("sha256", "md5"))

    def _first_signals(self, *, suspicious: bool) -> tuple[str, ...]:
        """What the first look is for; the child does not make what is not wanted."""
        if self._policy.local.when == "always" or suspicious:
            return self._signals()
        return tuple(s for s in self._signals() if s != "local")

    def _looks_closer(
        self, query: Query, look: MediaFingerprints, matches: tuple[Match, ...]
    ) -> bool:
        """Whether local features were not looked at yet, and are to be."""
        if self._policy.local.when != "unsure":
            return False
        if "local" not in self._policy.signals:
            return False
        action = self._first_action(query, look, matches)
        return unsure(action, matches, look.coverage, allowed=self._any_allowed(matches))

    def _once_more(
        self,
        media: BinaryIO,
        sampling: Sampling,
        signals: tuple[str, ...],
        stage: str,
        watch: Stopwatch,
    ) -> tuple[MediaFingerprints | None, tuple[Failure, ...]]:
        """The media decoded once more; None where that failed. A limit or damage that ended it is a
        failure too."""
        media.seek(0)
        try:
            with watch.stage(stage):
                look = self._fingerprint(media, sampling, signals)
        except (BadMedia, SandboxFailed) as error:
            log.warning("%s failed: %s", stage, error)
            return None, (Failure(stage, str(error)),)
        ended = Failure(stage, "a limit or damage ended it")
        return look, (ended,) if look.coverage.truncated else ()

    def _look_closer(
        self, query: Query, media: BinaryIO, first: MediaFingerprints, watch: Stopwatch
    ) -> tuple[MediaFingerprints, Beside, tuple[Failure, ...]]:
        """The media decoded once more, for the local features of what the `first` look saw."""
        sampling = Sampling(dense=False, greys=GREYS, draw=self._draw(query), seconds=self._seconds)
        closer, ended = self._once_more(media, sampling, ("local",), "local_look", watch)
        if closer is None:
            return first, NOTHING_BESIDE, ended
        look = replace(first, local=closer.local, motion=closer.motion, greys=closer.greys)
        found, failures = self._find_beside(look, watch, "local_features", self._judge.find_local)
        return look, found, failures if first.coverage.truncated else (*failures, *ended)

    def _fill(
        self,
        media: BinaryIO,
        look: MediaFingerprints,
        local: Beside,
        matches: tuple[Match, ...],
        watch: Stopwatch,
    ) -> tuple[MediaFingerprints, tuple[Failure, ...]]:
        """The same look with gaps filled where keyframes alone show the place of a camera that
        stands still: in pictures two seconds apart nothing tells how anything moves."""
        looked = described_at(look)
        if not np.any(np.diff(looked) > SPARSE_S):
            return look, ()
        moments = self._judge.standing(local, matches)
        windows = filling_windows(moments, looked, look.coverage.total_s)
        if not windows:
            return look, ()
        sampling = Sampling(
            dense=False, windows=windows, filling=True, greys=GREYS, seconds=self._seconds
        )
        signals = tuple(s for s in self._signals() if s not in ("videohash", "sound"))
        between, ended = self._once_more(media, sampling, signals, "filling_look", watch)
        if between is None or ended:
            return look, ended
        prints = joined_codes(look.fingerprints, between.fingerprints)
        local_features = joined_local(outside(look.local, windows), between.local)
        motion = (*look.motion, *between.motion)
        greys = (*look.greys, *between.greys)
        look = replace(look, local=local_features, motion=motion, greys=greys)
        return replace(look, fingerprints=prints), ()

    def _look_at_motion(
        self,
        media: BinaryIO,
        timing: tuple[Window, ...],
        checking: tuple[Window, ...],
        watch: Stopwatch,
    ) -> tuple[Watched, tuple[Failure, ...]]:
        """Some pictures of the windows, and what moves in all of them if any are for `timing`:
        between others there are gaps."""
        windows = all_windows(timing, checking)
        sampling = Sampling(dense=False, windows=windows, motion=True, seconds=self._seconds)
        every, ended = self._once_more(media, sampling, (), "motion_look", watch)
        if every is None:
            return NOT_WATCHED, ended
        return Watched(every.motion if timing else (), every.greys), ended

    def _look_apart(
        self,
        media: BinaryIO,
        windows: tuple[Window, ...],
        local: Beside,
        watch: Stopwatch,
    ) -> tuple[Beside, tuple[Failure, ...]]:
        """What seems to be woven into each other, taken apart and looked at each by itself."""
        sampling = Sampling(
            dense=False, windows=windows, strands=True, greys=GREYS, seconds=self._seconds
        )
        signals = tuple(s for s in self._signals() if s in ("pdq", "local"))
        apart, cut_short = self._once_more(media, sampling, signals, "strands_look", watch)
        if apart is None or not apart.strands:
            return local, cut_short
        found, failures = self._find_beside(apart, watch, "local_features", self._judge.find_local)
        return local.or_apart(found, apart.strands), (*cut_short, *failures)

    def find(
        self, look: MediaFingerprints, watch: Stopwatch, beside: Beside = NOTHING_BESIDE
    ) -> tuple[tuple[Match, ...], tuple[Failure, ...]]:
        """What the index holds of what was looked at, and of what was found `beside` it."""
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
        every: Watched,
        watch: Stopwatch,
    ) -> tuple[MediaFingerprints, tuple[Match, ...], tuple[Failure, ...]]:
        """Where something was found, the frames around it looked at one by one; by local features
        too, where the first look left them unsure."""
        looked = described_at(look)
        closer = closer_windows(local.unsure, looked, look.coverage.total_s)
        windows = all_windows(dense_windows(matches, look), closer)
        if not windows:
            return look, matches, ()
        greys = GREYS if closer else 0
        sampling = Sampling(dense=False, windows=windows, greys=greys, seconds=self._seconds)
        left_out = ("videohash", "sound") if closer else ("videohash", "sound", "local")
        signals = tuple(s for s in self._signals() if s not in left_out)
        dense, ended = self._once_more(media, sampling, signals, "second_look", watch)
        if dense is None:
            return look, matches, ended
        prints = joined_codes(look.fingerprints, dense.fingerprints)
        look = replace(look, fingerprints=prints, local=joined_local(look.local, dense.local))
        look = replace(look, greys=(*look.greys, *dense.greys))
        unseen: tuple[Failure, ...] = ()
        if closer:
            find_local = partial(self._judge.find_local, usual_only=True, every=every)
            sparse = any(is_sparse(near(looked, window)) for window in closer)
            motion = (*look.motion, *dense.motion) if sparse else look.motion
            nearer, unseen = self._find_beside(
                replace(look, motion=motion), watch, "local_features", find_local
            )
            # what it doubts are other lines: those from before were looked at already
            local = local if unseen else local.or_surer(replace(nearer, refuted=frozenset()))
        found, failures = self.find(look, watch, local.and_also(sound))
        failures = (*unseen, *failures)
        if not ended:
            return look, found, failures
        return look, surer(matches, found), (*failures, *ended)
