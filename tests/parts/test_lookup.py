"""All of an upload's fingerprints are looked up at once: as if it were one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.hamming import HammingIndex
from hashdb.model import Bank, Codes, Digests, Fingerprint, MediaKind, Orientation
from hashdb.signals import CARD
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from matcher import lookup
from matcher.align import FrameHits
from matcher.hashers import pdq
from matcher.lookup import Found, Lookup, likeliest
from tests.rulings import reference

WIDTHS = {"pdq": 32, CARD: 32, "phash": 8}


def prints(codes: Codes, kind: str = "pdq", track: int = 0) -> Fingerprint:
    n = len(codes)
    quality = np.full(n, 100, np.uint8)
    return Fingerprint(kind, "made", codes, np.arange(n) * 1.0, np.zeros(n), quality, track)


def footage(seed: int, n: int, kind: str = "pdq") -> Codes:
    return np.random.default_rng(seed).integers(0, 256, (n, WIDTHS[kind]), dtype=np.uint8)


@pytest.fixture(scope="module", params=[FaissIndex, HammingIndex])
def known(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Lookup]:
    """Forty references; a picture that half of them share, and half of them twice."""
    folder: Path = tmp_path_factory.mktemp("known")
    store = Store.open(f"sqlite:///{folder / 'seawall.db'}")
    index = ReferenceIndex(store, request.param, folder=None, signal_types=["pdq", "phash"])
    index.open()
    with store.begin() as tx:
        bank: Bank = tx.banks.create("attacks")
        for seed in range(40):
            codes = footage(seed, 12)
            codes[seed % 12 : seed % 12 + seed % 3] = footage(99, 1)
            tx.banks.add_reference(
                bank,
                kind=MediaKind.VIDEO,
                digests=Digests(),
                fingerprints=[prints(codes), prints(footage(seed, 9, "phash"), "phash")],
            )
    index.refresh()
    yield Lookup(index, frozenset(["pdq", "phash"]), pdq.orientations, pdq.degenerate)
    store.close()


def told(found: list[Any]) -> list[Any]:
    """Of each query and reference, the hits in the order of the query and of time."""
    answers = []
    for one in found:
        h = one.hits
        order = np.lexsort((h.distances, h.offsets, h.queries))
        columns = (h.queries, h.offsets, h.spans, h.distances)
        hits = [column[order].tolist() for column in columns]
        answers.append((id(one.query), one.reference_id, hits))
    return answers


@given(
    shown=st.lists(
        st.tuples(
            st.integers(0, 60),  # of which reference, or of none
            st.integers(0, 12),  # frames
            st.integers(0, 50),  # bits off
            st.sampled_from(["pdq", "phash"]),
            st.integers(0, 1),  # the track
        ),
        max_size=6,
    ),
    most=st.sampled_from([1, 3, 2000]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_looked_up_at_once_as_one_by_one(known: Lookup, shown: Any, most: int) -> None:
    rng = np.random.default_rng(0)
    sent = []
    for seed, n, off, kind, track in shown:
        every = np.unpackbits(footage(seed, 12, kind)[:n], axis=1)
        for row in every:
            row[rng.choice(row.size, min(off, row.size // 8), replace=False)] ^= 1
        sent.append(prints(np.packbits(every, axis=1), kind, track))
    sent.append(prints(footage(99, 3)))
    queries = list(known.queries(sent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "MOST_HITS", most)
        one_by_one = [f for q in queries for f in known.hits([q])]
        at_once = known.hits(queries)
    assert at_once
    assert told(at_once) == told(one_by_one)


def test_the_likeliest_come_first() -> None:
    query = prints(footage(1, 6))

    def hit(name: str, frames: int, distance: int) -> Found:
        rows = np.arange(frames)
        near = np.full(frames, distance)
        return Found(query, name, FrameHits(rows, rows * 1.0, np.zeros(frames), near))

    few, far, near, unknown = hit("few", 2, 4), hit("far", 6, 28), hit("near", 6, 4), hit("x", 6, 0)
    references = {name: reference(name, "attacks") for name in ("few", "far", "near")}
    assert likeliest([few, far, unknown, near], references) == [near, far, few]


def test_nothing_to_look_up(known: Lookup) -> None:
    empty = prints(np.empty((0, 32), np.uint8))
    assert known.hits([]) == known.hits([empty]) == []
    (one,) = known.hits([empty, prints(footage(3, 4)[1:3])])
    assert one.hits.queries.tolist() == [0, 1]


def test_title_cards_are_looked_up_where_there_is_nothing_else(known: Lookup) -> None:
    kinds = frozenset(["pdq", "phash", "videohash", CARD])
    asked = Lookup(known._index, kinds, pdq.orientations, pdq.degenerate)
    card = prints(footage(1, 2), CARD)
    flat = replace(prints(footage(2, 2)), quality=np.zeros(2, np.uint8))
    whole = prints(footage(3, 1, "phash"), "videohash")
    assert [f for f in asked.usable([card, flat, whole]) if len(f)] == [whole, card]
    for other in (prints(footage(3, 1)), prints(footage(3, 1, "phash"), "phash")):
        assert asked.usable([card, flat, other])[1:] == [other]
    assert known.usable([card]) == []


@pytest.mark.parametrize(("seed", "asked"), [(77, 1), (3, 3)])
def test_the_index_is_asked_about_few_parts(
    known: Lookup, monkeypatch: pytest.MonkeyPatch, seed: int, asked: int
) -> None:
    """Nothing is found of what is unknown at once; and of what is known as it is, that nothing is
    found in any other placing, in two questions more. Only what may be found is searched."""
    index, questions, searched = known._index, [], []
    may_hit, search = index.may_hit, index.search

    def counted(name: str, codes: Codes, radius: int) -> bool:
        questions.append(len(codes))
        return may_hit(name, codes, radius)

    def seen(name: str, codes: Codes, radius: int, **more: Any) -> Any:
        searched.append(len(codes))
        return search(name, codes, radius, **more)

    monkeypatch.setattr(index, "may_hit", counted)
    monkeypatch.setattr(index, "search", seen)
    queries = list(known.queries([prints(footage(seed, 8))]))
    found = known.hits(queries)
    if not may_hit("pdq", footage(77, 8), 46):  # an engine that can say so
        assert len(queries) == 9  # eight placings, and the first as a negative
        assert len(questions) == asked
        assert sum(searched) == (8 if asked > 1 else 0)
    assert len(found) == (1 if asked > 1 else 0)


@pytest.mark.parametrize(("n", "every"), [(19, 1), (20, 2), (30, 3)])
def test_of_turned_placings_fewer_pictures_are_asked_about(
    known: Lookup, monkeypatch: pytest.MonkeyPatch, n: int, every: int
) -> None:
    """And all are found: who turns footage turns all of it."""
    index, questions = known._index, []
    may_hit = index.may_hit

    def counted(name: str, codes: Codes, radius: int) -> bool:
        questions.append(len(codes))
        return may_hit(name, codes, radius)

    monkeypatch.setattr(index, "may_hit", counted)
    known.hits(list(known.queries([prints(footage(77, n))])))
    assert questions[0] == 5 * n + 4 * len(range(0, n, every))  # the negative too
    shown = np.concatenate([footage(78, n - 12), footage(3, 12)])
    turned = pdq.orientations(shown)[:, list(Orientation).index(Orientation.ROTATE_90)]
    found = known.hits(list(known.queries([prints(turned)])))
    hit = [f for f in found if f.query.orientation is not Orientation.ORIGINAL]
    assert {int(q) for f in hit for q in f.hits.queries} == set(range(n - 12, n))
