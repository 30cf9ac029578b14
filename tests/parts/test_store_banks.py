"""Banks, references and their fingerprints, on both engines."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, timedelta

import numpy as np
import pytest

from hashdb.errors import (
    BadArgument,
    BadFingerprint,
    DatabaseUnavailable,
    NameTaken,
    NotFound,
)
from hashdb.model import (
    Action,
    Bank,
    ChangeKind,
    Descriptors,
    Digests,
    LocalFeatures,
    MediaKind,
    Orientation,
    SoundPeaks,
    Standing,
    View,
    now,
)
from hashdb.store import Store
from hashdb.tables import reference_features, reference_fingerprints
from tests.parts.store_samples import add, digests, prints, same, together


@pytest.fixture
def bank(store: Store) -> Bank:
    with store.begin() as tx:
        return tx.banks.create("attacks", Action.BLOCK, "terrorism")


def test_a_bank_is_found_by_name_and_by_id(store: Store, bank: Bank) -> None:
    with store.read() as tx:
        assert tx.banks.get("attacks") == tx.banks.get(bank.id) == bank
    assert (bank.action, bank.label, bank.enabled) == (Action.BLOCK, "terrorism", True)
    assert bank.created_at.tzinfo is UTC
    assert abs(bank.created_at - now()) < timedelta(minutes=1)


def test_an_unknown_bank(store: Store) -> None:
    with store.read() as tx, pytest.raises(NotFound, match="nowhere"):
        tx.banks.get("nowhere")


def test_banks_are_listed_by_name(store: Store) -> None:
    with store.begin() as tx:
        for name in ("news", "attacks", "games"):
            tx.banks.create(name, Action.ALLOW)
    with store.read() as tx:
        assert [b.name for b in tx.banks.list()] == ["attacks", "games", "news"]


def test_bad_bank_names(store: Store, bank: Bank) -> None:
    bad = ["", ".x", "-x", "a b", "a/b", "é", "a" * 65, "x\n", "bank_" + 32 * "0"]
    with store.begin() as tx:
        for name in bad:
            with pytest.raises(BadArgument):
                tx.banks.create(name)
            with pytest.raises(BadArgument):
                tx.banks.update(bank.id, name=name)


def test_good_bank_names(store: Store) -> None:
    good = ["9", "A_b.c-d", "a", "a" * 64, "bank_1"]
    with store.begin() as tx:
        for name in good:
            tx.banks.create(name)
        assert {b.name for b in tx.banks.list()} == set(good)


def test_a_taken_name_leaves_the_transaction_usable(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        other = tx.banks.create("news")
        with pytest.raises(NameTaken, match="attacks"):
            tx.banks.create("attacks")
        with pytest.raises(NameTaken, match="attacks"):
            tx.banks.update(other.id, name="attacks")
    with store.read() as tx:
        assert [b.name for b in tx.banks.list()] == ["attacks", "news"]


def test_an_update_changes_what_is_given(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        assert tx.banks.update(bank.id) == bank
        assert tx.banks.update(bank.id, enabled=False) == replace(bank, enabled=False)
        changed = tx.banks.update(bank.id, name="old", action=Action.REVIEW, label=None)
    assert changed == replace(bank, name="old", action=Action.REVIEW, label=None, enabled=False)
    with store.read() as tx:
        assert tx.banks.get("old") == changed
        with pytest.raises(NotFound):
            tx.banks.get("attacks")
        assert tx.changes.head() == 0


def test_updating_an_unknown_bank(store: Store) -> None:
    with store.begin() as tx, pytest.raises(NotFound):
        tx.banks.update("bank_x", enabled=False)


def test_a_reference_comes_back_as_it_was_added(store: Store, bank: Bank) -> None:
    kept = [prints(5, seed=1), prints(4, seed=2, signal_type="phash"), prints(2, view=View.TRIMMED)]
    with store.begin() as tx:
        made, new = tx.banks.add_reference(
            bank,
            kind=MediaKind.VIDEO,
            digests=digests("video"),
            fingerprints=kept,
            source="police",
            origin="partner-7",
            duration_s=61.2345678901234,
            metadata={"note": "Größe ✓", "list": [1, 2.5, None, True]},
            standing=Standing.DISPUTED,
        )
    assert new
    assert made.frames == 5
    assert made.enforceable
    with store.read() as tx:
        assert tx.banks.reference(made.id) == made
        back = {(f.signal_type, f.view): f for f in tx.banks.fingerprints(made.id)}
    assert len(back) == 3
    assert all(same(back[f.signal_type, f.view], f) for f in kept)


def test_frames_are_counted_over_all_tracks(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        some = [prints(5), prints(6, track=1), prints(7, signal_type="phash")]
        assert add(tx, bank, fingerprints=some).frames == 11


def test_an_unknown_reference(store: Store) -> None:
    with store.begin() as tx:
        assert tx.banks.fingerprints("ref_x") == []
        assert tx.banks.references_by_ids(["ref_x"]) == {}
        for call in (tx.banks.reference, tx.banks.withdraw):
            with pytest.raises(NotFound, match="ref_x"):
                call("ref_x")
        with pytest.raises(NotFound):
            tx.banks.set_enabled("ref_x", True)
        with pytest.raises(NotFound):
            tx.banks.set_metadata("ref_x", {})


def test_codes_of_one_kind_are_kept_together_in_order(store: Store, bank: Bank) -> None:
    late, early = prints(3, seed=1, start=10), prints(2, seed=2)
    other_pipeline, turned = prints(1, pipeline="test/2"), prints(9, seed=3)
    turned = replace(turned, orientation=Orientation.ROTATE_90)
    with store.begin() as tx:
        made = add(tx, bank, fingerprints=[late, early, other_pipeline, turned, prints(0)])
        joined, other = tx.banks.fingerprints(made.id)
    assert joined.offsets.tolist() == [*early.offsets, *late.offsets]
    assert np.array_equal(joined.codes, np.concatenate([early.codes, late.codes]))
    assert np.array_equal(joined.quality, np.concatenate([early.quality, late.quality]))
    assert same(other, other_pipeline)


@pytest.mark.parametrize(
    "bad",
    [
        replace(prints(3), codes=np.zeros((3, 8), np.uint8)),
        replace(prints(3), codes=np.zeros((3, 32), np.int64)),
        replace(prints(3), offsets=np.zeros(2)),
        replace(prints(3), spans=np.zeros((3, 1))),
        replace(prints(3), quality=np.zeros(4, np.uint8)),
        replace(prints(3), offsets=np.array([0, np.nan, 1])),
        replace(prints(3), spans=np.array([0, np.inf, 1])),
        replace(prints(3), signal_type="nonsense"),
    ],
)
@pytest.mark.parametrize("pairs", [1, 2])
def test_arrays_that_do_not_fit_are_refused(sqlite_url: str, bad: object, pairs: int) -> None:
    store = Store.open(sqlite_url)
    with store.begin() as tx:
        bank = tx.banks.create("attacks")
        with pytest.raises(BadFingerprint):
            add(tx, bank, fingerprints=[bad] * pairs)
        assert tx.banks.references() == ([], None)
    store.close()


@pytest.mark.parametrize("damage", [{"n": 4}, {"n": -1}, {"version": 2}, {"data": b"x"}])
def test_a_damaged_fingerprint_is_noticed(
    store: Store, bank: Bank, damage: dict[str, object]
) -> None:
    with store.begin() as tx:
        made = add(tx, bank, fingerprints=[prints(3)])
    with store._engine.connect().execution_options(seawall_write=True) as raw, raw.begin():
        raw.execute(reference_fingerprints.update().values(damage))
    with store.read() as tx, pytest.raises(DatabaseUnavailable, match="pdq fingerprint"):
        tx.banks.fingerprints(made.id)


# Features


def peaks(n: int = 5, track: int = 0) -> SoundPeaks:
    rng = np.random.default_rng(n)
    return SoundPeaks(
        "peaks-1",
        np.sort(rng.uniform(-0.5, 60_000, n)),
        rng.integers(0, 65_536, n).astype(np.uint16),
        rng.integers(0, 256, n).astype(np.uint8),
        track,
        60_000.5,
    )


def corners(n: int = 5) -> LocalFeatures:
    rng = np.random.default_rng(n)
    return LocalFeatures(
        "orb-1",
        np.array([0.5]),
        np.array([0, n]),
        np.array([[640, 360]], dtype=np.uint16),
        rng.integers(0, 256, (n, 32), dtype=np.uint8),
        rng.uniform(31, 300, (n, 4)).astype(np.float32),
    )


def test_sounds_come_back_as_they_were_added(store: Store, bank: Bank) -> None:
    kept = [peaks(400), peaks(30, track=2)]
    with store.begin() as tx:
        one = add(tx, bank, "one", sound=[*kept, peaks(0, track=1)])
        two = add(tx, bank, "two", local=[corners()])
        assert tx.banks.signal_types(one.id) == {"sound"}
        assert tx.banks.signal_types(two.id) == {"local"}
    with store.read() as tx:
        back = list(tx.banks.sound_peaks([two.id, one.id, "ref_none"]))
        assert [name for name, _ in back] == [one.id] * 2
        for (_, found), was in zip(back, kept, strict=True):
            assert (found.pipeline, found.track, found.seconds) == ("peaks-1", was.track, 60_000.5)
            assert np.abs(found.times - was.times).max() < 3e-5
            assert found.pitches.tolist() == was.pitches.tolist()
            assert found.levels.tolist() == was.levels.tolist()
        counts = tx.banks.feature_counts(["sound", "local"])
        assert sorted(counts) == sorted([(one.id, "sound", 430), (two.id, "local", 5)])
        assert tx.banks.feature_counts(["local"]) == [(two.id, "local", 5)]
    with store.begin() as tx:
        tx.banks.withdraw(one.id)
        assert tx.banks.feature_counts(["sound", "local"]) == [(two.id, "local", 5)]


def test_what_was_looked_for_in_vain_counts_as_kept(store: Store, bank: Bank) -> None:
    wanted = ("local", "sound")
    with store.begin() as tx:
        first = add(tx, bank, fingerprints=[prints()], local=[corners()], looked_for=wanted)
        assert tx.banks.signal_types(first.id) == {"pdq", "local", "sound"}
        assert list(tx.banks.sound_peaks([first.id])) == []
        assert tx.banks.feature_counts(wanted) == [(first.id, "local", 5)]
        again, new = tx.banks.add_reference(
            bank,
            kind=MediaKind.VIDEO,
            digests=digests("video"),
            fingerprints=[prints()],
            looked_for=wanted,
        )
        assert (again, new) == (first, False)


def test_a_reference_of_which_sound_was_never_looked_for_is_replaced(
    store: Store, bank: Bank
) -> None:
    with store.begin() as tx:
        first = add(tx, bank, fingerprints=[prints()])
        second = add(tx, bank, fingerprints=[prints()], looked_for=["sound"])
        assert first.id != second.id
        assert tx.banks.reference(first.id).withdrawn_at is not None


@pytest.mark.parametrize("damage", [{"n": 4}, {"n": 6}, {"version": 2}, {"data": b"x"}])
def test_a_damaged_sound_is_noticed(store: Store, bank: Bank, damage: dict[str, object]) -> None:
    with store.begin() as tx:
        made = add(tx, bank, sound=[peaks(5)])
    with store._engine.connect().execution_options(seawall_write=True) as raw, raw.begin():
        raw.execute(reference_features.update().values(damage))
    with store.read() as tx, pytest.raises(DatabaseUnavailable, match="peaks of sound"):
        list(tx.banks.sound_peaks([made.id]))


@pytest.mark.parametrize(
    "bad",
    [
        replace(peaks(5), levels=np.zeros(4, np.uint8)),
        replace(peaks(5), pitches=np.zeros((5, 1), np.uint16)),
        replace(peaks(5), times=np.array([0, 1, 2, 3, np.nan])),
        replace(peaks(5), seconds=np.inf),
    ],
)
def test_sounds_that_do_not_fit_are_refused(store: Store, bank: Bank, bad: SoundPeaks) -> None:
    with store.begin() as tx, pytest.raises(BadFingerprint, match="sound"):
        add(tx, bank, sound=[bad])


# Descriptors


def vectors(n: int = 5, *, model: str = "m:1", track: int = 0) -> Descriptors:
    rng = np.random.default_rng(n)
    return Descriptors(
        model,
        np.sort(rng.uniform(0, 60_000, n)),
        rng.normal(size=(n, 48)).astype(np.float16),
        track,
    )


def test_descriptors_come_back_by_their_model(store: Store, bank: Bank) -> None:
    kept = [vectors(40), vectors(3, track=2)]
    with store.begin() as tx:
        one = add(tx, bank, "one", descriptors=[*kept, vectors(0, track=1)], model="m:1")
        two = add(tx, bank, "two", descriptors=[vectors(7, model="n:1")], model="n:1")
    with store.read() as tx:
        back = list(tx.banks.descriptors([two.id, one.id, "ref_none"], "m:1"))
        assert [name for name, _ in back] == [one.id] * 2
        for (_, found), was in zip(back, kept, strict=True):
            assert (found.model, found.track) == ("m:1", was.track)
            assert found.vectors.dtype == np.float16
            assert np.array_equal(found.vectors, was.vectors)
            assert np.array_equal(found.offsets, was.offsets)
        assert [name for name, _ in tx.banks.descriptors([one.id, two.id], "n:1")] == [two.id]
        assert list(tx.banks.descriptors([one.id, two.id], "other:1")) == []
        assert tx.banks.feature_counts(["neural"], "m:1") == [(one.id, "neural", 43)]
        assert tx.banks.feature_counts(["neural", "local"], "n:1") == [(two.id, "neural", 7)]
        assert tx.banks.signal_types(one.id, "m:1") == {"neural"}
        assert tx.banks.signal_types(one.id, "n:1") == set()


def test_a_reference_with_another_models_descriptors_is_replaced_once(
    store: Store, bank: Bank
) -> None:
    with store.begin() as tx:
        first = add(tx, bank, fingerprints=[prints()], descriptors=[vectors()], model="m:1")
        second = add(
            tx, bank, fingerprints=[prints()], descriptors=[vectors(model="n:1")], model="n:1"
        )
        assert first.id != second.id
        again = {"kind": MediaKind.VIDEO, "digests": digests("video"), "fingerprints": [prints()]}
        for fields in (
            {"descriptors": [vectors(model="n:1")], "model": "n:1"},
            {"looked_for": ["neural"], "model": "n:1"},
            {},
        ):
            assert tx.banks.add_reference(bank, **again, **fields) == (second, False)
        third, new = tx.banks.add_reference(bank, **again, looked_for=["neural"], model="o:1")
        assert new
        assert tx.banks.signal_types(third.id, "o:1") == {"pdq", "neural"}
        assert list(tx.banks.descriptors([third.id], "o:1")) == []


@pytest.mark.parametrize("damage", [{"n": 7}, {"n": -1}, {"version": 2}, {"data": b"x"}])
def test_damaged_descriptors_are_noticed(
    store: Store, bank: Bank, damage: dict[str, object]
) -> None:
    with store.begin() as tx:
        made = add(tx, bank, descriptors=[vectors()], model="m:1")
    with store._engine.connect().execution_options(seawall_write=True) as raw, raw.begin():
        raw.execute(reference_features.update().values(damage))
    with store.read() as tx:
        if damage == {"n": -1}:
            assert list(tx.banks.descriptors([made.id], "m:1")) == []
            return
        with pytest.raises(DatabaseUnavailable, match="descriptors"):
            list(tx.banks.descriptors([made.id], "m:1"))


@pytest.mark.parametrize(
    "bad",
    [
        replace(vectors(5), vectors=np.zeros((4, 48), np.float16)),
        replace(vectors(5), vectors=np.zeros(5, np.float16)),
        replace(vectors(5), vectors=np.full((5, 48), np.nan, np.float16)),
        replace(vectors(5), offsets=np.array([0, 1, 2, 3, np.inf])),
    ],
)
def test_descriptors_that_do_not_fit_are_refused(
    store: Store, bank: Bank, bad: Descriptors
) -> None:
    with store.begin() as tx, pytest.raises(BadFingerprint, match="neural"):
        add(tx, bank, descriptors=[bad], model="m:1")


# What counts as the same media


def test_the_same_bytes_give_the_reference_again(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        first = add(tx, bank, "video", fingerprints=[prints()], source="one")
        for given in (digests("video"), Digests(sha256=digests("video").sha256)):
            again, new = tx.banks.add_reference(
                bank, kind=MediaKind.VIDEO, digests=given, fingerprints=[], source="two"
            )
            assert (again, new) == (first, False)
        assert [c.reference_id for c in tx.changes.since(0)] == [first.id]


def test_another_bank_has_its_own_reference(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        other = tx.banks.create("other")
        first, second = add(tx, bank), add(tx, other)
        assert first.id != second.id
        assert [c.bank_id for c in tx.changes.since(0)] == [bank.id, other.id]


def test_a_withdrawn_reference_is_not_given_again(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        first = add(tx, bank)
        tx.banks.withdraw(first.id)
        second = add(tx, bank)
        tx.banks.withdraw(second.id)
        third = add(tx, bank)
        assert len({first.id, second.id, third.id}) == 3
        again, new = tx.banks.add_reference(
            bank, kind=MediaKind.VIDEO, digests=digests("video"), fingerprints=[]
        )
        assert (again.id, new) == (third.id, False)


@pytest.mark.parametrize(
    ("first", "second", "same_media"),
    [
        ({"origin": "p1", "frames": 2}, {"origin": "p1", "frames": 3}, True),
        ({"origin": "p1", "frames": 2}, {"origin": "p2", "frames": 2}, False),
        ({"md5": "m", "frames": 0}, {"md5": "m", "frames": 0}, True),
        ({"md5": "m", "frames": 0}, {"md5": "n", "frames": 0}, False),
        ({"md5": "m", "frames": 2}, {"md5": "m", "frames": 2}, False),
        ({"md5": "m", "frames": 0}, {"md5": "m", "frames": 2}, False),
        ({"md5": "m", "frames": 0, "origin": "p1"}, {"md5": "m", "frames": 0}, True),
        ({"md5": "m", "frames": 0}, {"md5": "m", "frames": 0, "origin": "p1"}, True),
        ({"frames": 2}, {"frames": 2}, False),
        ({"md5": "m", "frames": 0}, {"sha256": "s", "md5": "m", "frames": 0}, False),
        ({"sha256": "s", "origin": "p1"}, {"origin": "p1", "frames": 1}, False),
        ({"sha256": "s", "origin": "p1"}, {"sha256": "t", "origin": "p1"}, False),
    ],
)
def test_what_is_the_same_media_without_a_sha256(
    store: Store, bank: Bank, first: dict[str, object], second: dict[str, object], same_media: bool
) -> None:
    ids = []
    with store.begin() as tx:
        for given in (first, second):
            frames = given.get("frames", 0)
            assert isinstance(frames, int)
            reference, new = tx.banks.add_reference(
                bank,
                kind=MediaKind.VIDEO,
                digests=Digests(given.get("sha256"), given.get("md5")),  # type: ignore[arg-type]
                fingerprints=[prints(frames)],
                origin=given.get("origin"),  # type: ignore[arg-type]
            )
            assert new == (reference.id not in ids)
            ids.append(reference.id)
    assert (ids[0] == ids[1]) == same_media


def test_many_add_the_same_video_at_once(store: Store, bank: Bank) -> None:
    def enrol() -> tuple[str, bool]:
        with store.begin() as tx:
            reference, new = tx.banks.add_reference(
                bank, kind=MediaKind.VIDEO, digests=digests("video"), fingerprints=[prints()]
            )
            return reference.id, new

    answers = together(*[enrol] * 6)
    assert len({reference for reference, _ in answers}) == 1, answers
    assert sorted(new for _, new in answers) == [False] * 5 + [True]
    with store.read() as tx:
        assert len(tx.changes.since(0)) == 1
        assert len(tx.banks.references()[0]) == 1


def test_the_slower_of_two_open_transactions_finds_the_others_reference(
    postgres_url: str,
) -> None:
    """Both have looked and found nothing before either has written: only the index decides."""
    store = Store.open(postgres_url)
    with store.begin() as tx:
        bank = tx.banks.create("attacks")
    with store.begin() as first:
        made = add(first, bank)
        answers = []

        def slower() -> None:
            with store.begin() as second:
                assert second.banks.by_digest(digests("video")) == []
                answers.append(
                    second.banks.add_reference(
                        bank, kind=MediaKind.VIDEO, digests=digests("video"), fingerprints=[]
                    )
                )

        thread = threading.Thread(target=slower)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(30)
    assert answers == [(made, False)]
    store.close()


# Switching off, withdrawing


def test_switching_off_and_on_is_noted_once(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        made = add(tx, bank)
        assert not tx.banks.set_enabled(made.id, False).enforceable
        assert not tx.banks.set_enabled(made.id, False).enabled
        assert tx.banks.set_enabled(made.id, True) == made
        assert tx.banks.set_enabled(made.id, True) == made
        kinds = [c.kind for c in tx.changes.since(0)]
    assert kinds == [ChangeKind.ADD, ChangeKind.DISABLE, ChangeKind.ENABLE]


def test_withdrawing_is_noted_once_and_keeps_its_time(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        made = add(tx, bank)
        gone = tx.banks.withdraw(made.id)
        assert gone.withdrawn_at is not None
        assert not gone.enforceable
    with store.begin() as tx:
        assert tx.banks.withdraw(made.id) == gone
        assert [c.kind for c in tx.changes.since(0)] == [ChangeKind.ADD, ChangeKind.WITHDRAW]
        assert tx.banks.reference(made.id) == gone


def test_metadata_is_replaced_without_a_change(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        made = add(tx, bank, metadata={"a": 1})
        changed = tx.banks.set_metadata(made.id, {"b": [2]})
        assert changed == tx.banks.reference(made.id) == replace(made, metadata={"b": [2]})
        assert tx.changes.head() == 1


def test_a_reference_follows_its_bank(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        made = add(tx, bank)
        off = tx.banks.update(bank.id, enabled=False, name="old")
        assert tx.banks.reference(made.id).bank == off
        assert not tx.banks.reference(made.id).enforceable


# Looking up


def test_references_by_ids(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        made = [add(tx, bank, f"v{i}") for i in range(4)]
        gone = tx.banks.withdraw(made[1].id)
        found = tx.banks.references_by_ids([made[3].id, gone.id, made[3].id, "ref_x"])
        assert found == {made[3].id: made[3], gone.id: gone}
        assert tx.banks.references_by_ids([]) == {}


def test_references_by_more_ids_than_one_statement_takes(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        made = add(tx, bank)
        ids = [f"ref_{i}" for i in range(70_000)] + [made.id]
        assert tx.banks.references_by_ids(ids) == {made.id: made}


def test_by_digest(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        other = tx.banks.create("other")
        one, two = add(tx, bank, "video"), add(tx, other, "video")
        gone = tx.banks.withdraw(add(tx, tx.banks.create("third"), "video").id)
        collision = Digests(digests("else").sha256, digests("video").md5)
        forged = add(tx, bank, digests=collision)
        add(tx, bank, "unrelated")
        assert tx.banks.by_digest(digests("video")) == [
            (one, "sha256"),
            (two, "sha256"),
            (gone, "sha256"),
            (forged, "md5"),
        ]
        only_md5 = tx.banks.by_digest(Digests(md5=digests("unrelated").md5))
        assert [kind for _, kind in only_md5] == ["md5"]
        assert tx.banks.by_digest(Digests()) == []
        assert tx.banks.by_digest(digests("nobody")) == []


def test_by_origin(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        other = tx.banks.create("other")
        made = add(tx, bank, origin="p1")
        tx.banks.withdraw(add(tx, bank, "gone", origin="p1").id)
        add(tx, bank, "else", origin="p2")
        add(tx, other, "elsewhere", origin="p1")
        assert tx.banks.by_origin(bank.id, "p1") == [made]
        assert tx.banks.by_origin(bank.id, "p3") == []


def test_pages_of_references(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        made = {add(tx, bank, f"v{i}").id for i in range(7)}
        seen, after, sizes = [], None, []
        while True:
            some, after = tx.banks.references(limit=3, after=after)
            seen += [r.id for r in some]
            sizes.append(len(some))
            if after is None:
                break
        assert sizes == [3, 3, 1]
        assert seen == sorted(made)
        exact, after = tx.banks.references(limit=7)
        assert (len(exact), after) == (7, None)


def test_references_are_filtered(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        other = tx.banks.create("other")
        on = add(tx, bank, "on", source="Police of Zürich")
        off = tx.banks.set_enabled(add(tx, bank, "off", metadata={"Näme": "50%_x"}).id, False)
        gone = tx.banks.set_enabled(add(tx, other, "gone", origin="feed/12").id, False)
        gone_off = tx.banks.withdraw(gone.id)

        def ids(**filters: object) -> list[str]:
            return [r.id for r in tx.banks.references(**filters)[0]]  # type: ignore[arg-type]

        assert ids(state="enabled") == [on.id]
        assert ids(state="disabled") == [off.id]
        assert ids(state="withdrawn") == [gone_off.id]
        assert ids(bank="other") == ids(bank=other.id) == [gone.id]
        assert ids(bank="attacks", state="withdrawn") == []
        assert ids(digest=digests("on").sha256) == ids(digest=digests("on").md5) == [on.id]
        assert ids(digest=str(digests("on").sha256).upper()) == [on.id]
        assert ids(text="police") == ids(text="Zürich") == [on.id]
        assert ids(text="50%_X") == ids(text="Näme") == [off.id]
        assert ids(text="5_%") == ids(text="nobody") == []
        assert ids(text="FEED/12") == ids(text=gone.id) == [gone.id]
        with pytest.raises(BadArgument):
            ids(state="lost")
        with pytest.raises(NotFound):
            ids(bank="nowhere")


def test_all_fingerprints_of_living_references(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        kept = {}
        for i in range(7):
            made = add(tx, bank, f"v{i}", fingerprints=[prints(2, seed=i), prints(3, track=1)])
            kept[made.id] = made
        add(tx, bank, "whole", fingerprints=[prints(1, signal_type="videohash")])
        off, gone = list(kept)[2], list(kept)[3]
        tx.banks.set_enabled(off, False)
        tx.banks.withdraw(gone)
        del kept[gone]
        for batch in (1, 2, 100):
            found = list(tx.banks.all_fingerprints(["pdq"], batch=batch))
            assert [name for name, _ in found] == sorted([*kept, *kept])
            assert {len(f) for _, f in found} == {2, 3}
        half = sorted(kept)[2]
        rest = {n for n, _ in tx.banks.all_fingerprints(["pdq"], after_reference=half, batch=1)}
        assert rest == {n for n in kept if n > half}
        both = list(tx.banks.all_fingerprints(["pdq", "videohash"]))
        assert len(both) == 2 * len(kept) + 1
        assert list(tx.banks.all_fingerprints([])) == []
