"""References' ids: those of a snapshot and those that came since are found alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashdb.errors import BadSnapshot
from hashdb.names import Names


def filled(*ids: str) -> Names:
    names = Names()
    names.register({one: names.append(one) for one in ids})
    return names


def reloaded(names: Names) -> Names:
    return Names(dict(names.packed(names.known())))


def test_of_ids_and_ordinals() -> None:
    names = filled("ref_c", "ref_a", "größer", "ref_b")
    for one in (names, reloaded(names)):
        assert list(one) == ["ref_c", "ref_a", "größer", "ref_b"]
        assert [one.find(name) for name in one] == [0, 1, 2, 3]
        assert (one[-1], one[1:3]) == ("ref_b", ["ref_a", "größer"])
        assert one.find("ref_") is None
        assert one.find("zzz") is None
        with pytest.raises(IndexError):
            one[4]


def test_what_was_appended_is_found_when_it_is_registered() -> None:
    names = reloaded(filled("a", "b"))
    assert names.append("c") == 2
    assert names.find("c") is None
    assert names[2] == "c"
    names.register({"c": 2})
    assert names.find("c") == 2
    assert len(names) == 3


def test_what_is_dropped_keeps_its_ordinal_and_leaves_the_next_snapshot() -> None:
    names = reloaded(filled("a", "b", "c"))
    names.register({"d": names.append("d")})
    assert names.drop(["b", "d", "b", "x"]) == [1, 3]
    assert [names.find(n) for n in "abcd"] == [0, None, 2, None]
    assert list(names) == ["a", "b", "c", "d"]
    assert names.known().tolist() == [0, 2]
    again = reloaded(names)
    assert list(again) == ["a", "c"]
    assert [again.find(n) for n in "abcd"] == [0, None, 1, None]
    assert list(reloaded(Names())) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=40), st.integers(0, 5))
@settings(deadline=None)
def test_any_sequence_of_changes(steps: list[tuple[bool, int]], every: int) -> None:
    """Against a dictionary; every few steps through a snapshot."""
    names, known = Names(), dict[str, int]()
    for number, (adds, which) in enumerate(steps):
        name = f"n{which}"
        if adds and name not in known:
            known[name] = names.append(name)
            names.register({name: known[name]})
        elif not adds:
            assert names.drop([name]) == ([known.pop(name)] if name in known else [])
        if every and number % every == 0:
            names = reloaded(names)
            known = {n: i for i, n in enumerate(sorted(known, key=known.__getitem__))}
    assert {n: names.find(n) for n in known} == known
    assert names.known().tolist() == sorted(known.values())
    assert [names[i] for i in known.values()] == list(known)


@pytest.mark.parametrize(
    "changed",
    [
        {"names": np.frombuffer(b"a\nb\nc", np.uint8)},
        {"names/ends": np.array([1, 3], np.int32)},
        {"names/ends": np.array([1], np.int64)},
        {"names/order": np.array([0], np.int32)},
        {"names/order": np.array([[0, 1]], np.int32)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(changed: dict[str, np.ndarray]) -> None:
    names = filled("a", "b")
    with pytest.raises(BadSnapshot):
        Names(dict(names.packed(names.known())) | changed)
