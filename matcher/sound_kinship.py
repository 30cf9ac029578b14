"""How references are related whose sound one upload has: by their pictures' hashes, by their
sounds, and by what they show while they sound alike.

Asked only where one second of an upload is heard in several references, a bounded number of times
an upload; the answers are kept. docs/decisions/0029-rarity-of-sound.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hashdb.model import Alignment
from hashdb.ports import Nominee
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from matcher.kinship import KEPT_ANSWERS, Recent
from matcher.rarity import Kin
from matcher.sound_rarity import Known, Relate, Relation, meeting, relation

MOST_HEARD = 8
"""Pairs that are told by their sounds for one upload, compared for it or before."""


class SoundKinship:
    """Answers of a store's references. Any number of threads may use one. What is known of two
    references never changes, for a reference's sound does not."""

    def __init__(self, store: Store, index: ReferenceIndex) -> None:
        self._store = store
        self._index = index
        self._answers: Recent[tuple[str, str], Relation] = Recent(KEPT_ANSWERS)

    def of_one_upload(self, kin: Kin, found: Iterable[Alignment]) -> Relate:
        """`kin`: by the pictures' hashes. `found`: the upload's alignments by sound. Answers by
        sound of the first `MOST_HEARD` pairs that are asked for; None of all others, even if an
        earlier upload had them compared."""
        asked: set[tuple[str, str]] = set()
        heard: dict[str, list[Alignment]] = {}
        for one in found:
            heard.setdefault(one.reference_id, []).append(one)

        def relate(one: str, other: str) -> Relation | None:
            alike = kin(one, other)
            if alike or alike is None:
                return Relation.INCIDENT if alike else None
            pair = (min(one, other), max(one, other))
            if pair not in asked and len(asked) == MOST_HEARD:
                return None
            asked.add(pair)
            answer = self._answers.get(pair)
            if answer is None:
                answer = self._compared(pair, heard)
                if answer is not None:
                    self._answers.put(pair, answer)
            return answer

        return relate

    def _compared(
        self, pair: tuple[str, str], heard: Mapping[str, Sequence[Alignment]]
    ) -> Relation | None:
        at = meeting(heard[pair[0]], heard[pair[1]])
        one, other = (self._known(name) for name in pair)
        if at is None or one is None or other is None:
            return None
        return relation(one, other, at)

    def _known(self, name: str) -> Known | None:
        """A reference's clearest sound track, and its pictures where they are indexed."""
        with self._store.read() as tx:
            tracks = [peaks for _, peaks in tx.banks.sound_peaks([name])]
        if not tracks:
            return None
        return Known(max(tracks, key=len), self._pictures(name))

    def _pictures(self, name: str) -> Sequence[Nominee]:
        indexed = self._index.local()
        if indexed is None:
            return ()
        backend, names = indexed
        ordinal = names.find(name)
        return () if ordinal is None else backend.pictures(ordinal)
