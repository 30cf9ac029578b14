"""The look-back: past uploads asked about again, with what is known by now.

What is kept of an upload are its upright codes and its digests, for a while; so a look-back finds
by those alone. The verdict stays as it was: what is found is recorded beside it, and opens a
review.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hashdb.errors import NotFound
from hashdb.model import Action, Query, Verdict, now
from hashdb.store import Store
from hashdb.store.uploads import Past
from matcher.decide import Evidence, Ruling, decide
from matcher.judge import Judge
from matcher.looks import as_look
from matcher.policy import Policy
from matcher.score import joined

ACTOR = "look-back"
QUEUE = "look-back"


@dataclass(frozen=True, slots=True)
class Found:
    """What a past upload would be answered today, and the references that were not seen in it."""

    upload_id: str
    action: Action
    references: tuple[str, ...]


class LookBack:
    """Looks at past uploads again. Any number of threads may use one."""

    def __init__(self, store: Store, judge: Judge, policy: Policy) -> None:
        self._store = store
        self._judge = judge
        self._policy = policy

    def look(self, row_ids: Sequence[str]) -> Iterator[Found]:
        """Those of the uploads (ids of the store's own) in which something is found that asks for
        more than their verdict did. For each a review is opened, unless that was done before."""
        for row_id in row_ids:
            try:
                with self._store.read() as tx:
                    past = tx.uploads.past(row_id)
            except NotFound:  # purged or erased since it was listed
                continue
            ruling = self._ruling(past)
            known = {m.reference.id for m in past.verdict.matches}
            new = tuple(m.reference.id for m in ruling.matches if m.reference.id not in known)
            if new and ruling.action.severity > past.verdict.action.severity:
                self._record(past, ruling, new)
                yield Found(past.verdict.upload_id, ruling.action, new)

    def _ruling(self, past: Past) -> Ruling:
        coverage = past.verdict.coverage
        counted = self._judge.usable(past.fingerprints)
        look = as_look(past.fingerprints, counted, duration_s=coverage.total_s)
        found = self._judge.find(past.fingerprints, total_s=coverage.total_s)
        exact = self._judge.exact(past.digests, total_s=coverage.total_s or None)
        query, matches = Query(past.verdict.upload_id, past.digests), joined(exact, found)
        evidence = Evidence(query, look.kind, coverage, matches, past.verdict.classifications)
        return decide(evidence, self._policy)

    def _record(self, past: Past, ruling: Ruling, new: tuple[str, ...]) -> None:
        """Once: what was seen in an upload is seen in it for good."""
        detail = {
            "references": list(new),
            "action": ruling.action.value,
            "reason": ruling.reason.text,
        }
        found = Verdict(
            upload_id=past.verdict.upload_id,
            action=ruling.action,
            reason=ruling.reason,
            matches=ruling.matches,
            coverage=past.verdict.coverage,
            classifications=ruling.classifications,
            policy_version=self._policy.version,
            timings_ms={},
            judged_at=now(),
        )
        with self._store.begin() as tx:
            if tx.found.record(past, found, new, queue=QUEUE):
                tx.audit.record(ACTOR, "upload.found", past.verdict.upload_id, detail)
