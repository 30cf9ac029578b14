"""Verdicts as JSON and fingerprints as bytes: whatever goes in comes out equal."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from hashdb.errors import BadArgument, DatabaseUnavailable
from hashdb.model import (
    Action,
    Bank,
    Classification,
    Coverage,
    Digests,
    Fingerprint,
    Match,
    MediaKind,
    Reason,
    Reference,
    Segment,
    SegmentPair,
    Signal,
    Standing,
    Verdict,
    View,
)
from hashdb.signals import SIGNAL_TYPES
from hashdb.store import packing, verdict_json
from hashdb.store.engine import to_json
from hashdb.store.rows import chunks
from hashdb.tables import UtcDateTime
from tests.parts.store_samples import prints, same, verdict

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(timezones=st.just(UTC))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
segments = st.tuples(numbers, numbers).map(lambda ends: Segment(*sorted(ends)))
banks = st.builds(
    Bank, texts, texts, st.sampled_from(Action), texts | st.none(), st.booleans(), moments
)
references = st.builds(
    Reference,
    id=texts,
    bank=banks,
    kind=st.sampled_from(MediaKind),
    digests=st.builds(Digests, texts | st.none(), texts | st.none()),
    source=texts | st.none(),
    origin=texts | st.none(),
    duration_s=numbers | st.none(),
    frames=st.integers(0, 10**9),
    standing=st.sampled_from(Standing),
    enabled=st.booleans(),
    added_at=moments,
    withdrawn_at=moments | st.none(),
    metadata=st.dictionaries(texts, json_values, max_size=3),
)


def some(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(values, max_size=3).map(tuple)


def pair(query: Segment, reference: Segment, backwards: bool) -> SegmentPair:
    """Of a moment without length nobody can tell."""
    return SegmentPair(query, reference, backwards and reference.end > reference.start)


pairs = st.builds(pair, segments, segments, st.booleans())
matches = st.builds(
    Match,
    reference=references,
    score=numbers,
    signals=some(st.builds(Signal, texts, numbers)),
    segments=some(pairs),
    alignments=st.just(()),
    bounds=st.tuples(numbers, numbers) | st.none(),
)
verdicts = st.builds(
    Verdict,
    upload_id=texts,
    action=st.sampled_from(Action),
    reason=st.builds(Reason, texts, texts, some(texts)),
    matches=some(matches),
    coverage=st.builds(Coverage, numbers, numbers, st.integers(0), st.integers(0), st.booleans()),
    classifications=some(st.builds(Classification, texts, numbers, texts)),
    policy_version=texts,
    timings_ms=st.dictionaries(texts, numbers, max_size=3),
    judged_at=moments,
)


@given(verdicts)
def test_a_verdict_survives_json(value: Verdict) -> None:
    back = verdict_json.from_json(json.loads(to_json(verdict_json.to_json(value))))
    assert back == value
    assert all(type(getattr(back, f.name)) is type(getattr(value, f.name)) for f in fields(back))


@given(matches)
def test_a_match_of_before_bounds_were_kept(match: Match) -> None:
    body = verdict_json.to_json(verdict("u", match))
    del body["matches"][0]["bounds"]
    assert verdict_json.from_json(body).matches[0].bounds is None


def test_numpy_numbers_become_plain_json() -> None:
    given_ = Match(
        reference=Reference(
            "ref",
            Bank("bank", "b", Action.BLOCK, None, True, datetime.now(UTC)),
            MediaKind.VIDEO,
            Digests(),
            None,
            None,
            np.float64(2.5),
            np.int64(3),  # type: ignore[arg-type]
            Standing.POSITIVE,
            True,
            datetime.now(UTC),
        ),
        score=np.float32(0.5),  # type: ignore[arg-type]
        signals=(Signal("pdq", np.float64(0.25)),),
        segments=(SegmentPair(Segment(np.float64(1), np.float64(2)), Segment(0, 1)),),
    )
    value = verdict("u", given_)
    assert verdict_json.from_json(json.loads(to_json(verdict_json.to_json(value)))) == value


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_a_verdict_of_another_version(version: object) -> None:
    body = verdict_json.to_json(verdict("u")) | {"version": version}
    with pytest.raises(DatabaseUnavailable, match="version"):
        verdict_json.from_json(body)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1, 2}, object(), b"bytes"])
def test_values_that_are_no_json(bad: object) -> None:
    with pytest.raises(BadArgument, match="cannot be stored"):
        to_json({"x": bad})


@given(
    n=st.integers(0, 50),
    seed=st.integers(0, 1000),
    name=st.sampled_from(sorted(SIGNAL_TYPES)),
    track=st.integers(0, 5),
    view=st.sampled_from(View),
)
def test_a_fingerprint_survives_packing(
    n: int, seed: int, name: str, track: int, view: View
) -> None:
    made = prints(n, seed=seed, signal_type=name, track=track, view=view, start=1e6 / 3)
    row = packing.pack(made)
    assert len(row["data"]) == n * (SIGNAL_TYPES[name].bits // 8 + 17)
    back = packing.unpack(row)  # type: ignore[arg-type]
    assert same(back, made)
    back.codes[:] = 0  # the arrays belong to the caller


def test_the_layout_of_version_1() -> None:
    """Stored bytes must be read by every later version: this is what they look like."""
    made = Fingerprint(
        "phash",
        "p",
        np.arange(16, dtype=np.uint8).reshape(2, 8),
        np.array([0.5, 2.0]),
        np.array([0.0, 0.25]),
        np.array([7, 100], np.uint8),
    )
    row = packing.pack(made)
    assert (row["version"], row["n"]) == (1, 2)
    assert row["data"].hex() == (
        "000102030405060708090a0b0c0d0e0f"
        "000000000000e03f0000000000000040"
        "0000000000000000000000000000d03f"
        "0764"
    )


def test_arrays_of_another_layout_in_memory_are_packed_alike() -> None:
    made = prints(6)
    strided = Fingerprint(
        made.signal_type,
        made.pipeline,
        np.asfortranarray(made.codes),
        np.repeat(made.offsets, 2)[::2],
        made.spans.astype(">f8"),
        made.quality,
    )
    assert packing.pack(strided) == packing.pack(made)


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()])
def test_a_moment_without_a_zone_is_refused(dialect: object) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), dialect)  # type: ignore[arg-type]


def test_chunks() -> None:
    assert list(chunks([3, 1, 3, 2, 1], size=2)) == [[3, 1], [2]]
    assert list(chunks([])) == []
