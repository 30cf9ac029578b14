"""Ids."""

from concurrent.futures import ThreadPoolExecutor

from hashdb.model import new_id


def test_ids_of_one_process_sort_by_their_making():
    ids = [new_id("ref") for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5000


def test_ids_are_version_7_of_variant_2_and_differ_between_threads():
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_id("x")[2:], range(4000)))
    assert len(set(ids)) == 4000
    assert {i[12] for i in ids} == {"7"}
    assert {i[16] for i in ids} <= set("89ab")
