"""What signals other than hashes found in one upload, beside the hashes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hashdb.model import Alignment


@dataclass(frozen=True, slots=True)
class Beside:
    """What signals other than hashes found: alignments, and references (ids) whose place is shown:
    in `other_moment` what moves in them is missing, in `any_moment` nothing that moves is seen.
    `unsure`: moments, in seconds of the upload, at which a reference was seen that no alignment
    makes sure."""

    alignments: tuple[Alignment, ...] = ()
    other_moment: frozenset[str] = frozenset()
    any_moment: frozenset[str] = frozenset()
    unsure: tuple[float, ...] = ()

    def or_surer(self, other: Beside) -> Beside:
        """`other`, but of each reference the alignments of whichever is surer of it."""
        best: dict[str, tuple[float, Beside]] = {}
        for one in (self, other):
            for a in one.alignments:
                if a.score > best.get(a.reference_id, (-1.0,))[0]:
                    best[a.reference_id] = (a.score, one)
        kept = tuple(
            a for one in (self, other) for a in one.alignments if best[a.reference_id][1] is one
        )
        found = frozenset(best)
        return replace(
            other,
            alignments=kept,
            other_moment=other.other_moment - found,
            any_moment=other.any_moment | (self.any_moment & found),
        )

    def and_also(self, other: Beside) -> Beside:
        return Beside(
            (*self.alignments, *other.alignments),
            self.other_moment | other.other_moment,
            self.any_moment | other.any_moment,
            (*self.unsure, *other.unsure),
        )


NOTHING_BESIDE = Beside()
