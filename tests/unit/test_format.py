"""The file format: what is written is read, and whatever was changed is refused."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from hashdb import format as files
from hashdb.errors import BadSnapshot
from hashdb.format import VERSION, Array, Contents, read_file, sweep, write_file, writing

MAGIC = b"\x89SWL\r\n\x1a\n"
DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]

# Tests under Hypothesis write to one file again and again, which is what they want.
hypothesis = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


Written = tuple[str, dict[str, Any], dict[str, Array]]
"""Kind, meta and arrays."""


def example(path: Path) -> Written:
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {
        "codes": rng.integers(0, 256, (9, 32), dtype=np.uint8),
        "offsets": rng.random(9),
        "empty": np.empty((0, 8), dtype=np.uint8),
        "tracks": np.arange(9, dtype=np.int32),
    }
    write_file(path, "test", {"number": 7, "name": "größer"}, arrays)
    return "test", {"number": 7, "name": "größer"}, arrays


def same(one: Contents, other: Written) -> bool:
    kind, meta, arrays = other
    return (
        one.kind == kind
        and dict(one.meta) == meta
        and list(one.arrays) == list(arrays)
        and all(
            a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
            for a, b in zip(one.arrays.values(), arrays.values(), strict=True)
        )
    )


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_written_is_read(tmp_path: Path, whole: bool) -> None:
    written = example(tmp_path / "file")
    contents = read_file(tmp_path / "file", "test", whole=whole)
    assert contents.whole
    assert contents.size == (tmp_path / "file").stat().st_size
    assert same(contents, written)
    for array in contents.arrays.values():
        assert not array.flags.writeable


@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda d: arrays_of.arrays(d, st.lists(st.integers(0, 5), max_size=4).map(tuple))
    ),
    number=st.integers(0, 3),
)
@hypothesis
def test_any_array_is_read_as_it_was(tmp_path: Path, array: np.ndarray, number: int) -> None:
    arrays = {f"a{n}": array for n in range(number)}
    write_file(tmp_path / "file", "test", {}, arrays)
    assert same(read_file(tmp_path / "file", "test"), ("test", {}, arrays))


def test_an_array_may_be_written_row_by_row_beside_others(tmp_path: Path) -> None:
    rows, moments = np.arange(60, dtype=np.uint16).reshape(20, 3), np.arange(20.0)
    with writing(tmp_path / "file", "test", {"n": 1}) as out:
        first = out.room("rows", np.uint16, (20, 3))
        second = out.room("moments", ">f8", (20,))
        for some in (slice(0, 7), slice(7, 7), slice(7, 20)):
            first.append(rows[some])
            second.append(moments[some])
        assert (first.view() == rows).all()
        out.add("beside", rows[::2])
        empty = out.room("empty", np.int32, (0, 4)).view()
        for wrong in (rows[:1], rows[:0, :2]):
            with pytest.raises(ValueError, match="fit"):
                first.append(wrong)
        with pytest.raises(ValueError, match="not kept"):
            out.room("rows", np.int8, (1,))
    arrays = {"rows": rows, "moments": moments, "beside": rows[::2], "empty": empty}
    assert same(read_file(tmp_path / "file", "test"), ("test", {"n": 1}, arrays))


def test_arrays_lie_on_cache_lines_also_when_mapped(tmp_path: Path) -> None:
    example(tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    begin = struct.unpack_from("<Q", data, 24)[0]
    places = json.loads(data[begin:])["arrays"]
    assert all(place["offset"] % 64 == 0 for place in places.values())
    contents = read_file(tmp_path / "file", "test")
    for array in contents.arrays.values():
        assert not array.size or array.ctypes.data % 64 == 0


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    """Other machines read these files, so their bytes are spelt out once."""
    write_file(tmp_path / "file", "k", {"n": 1}, {"a": np.array([1, 256], dtype="<u2")})
    body = b"\x01\x00\x00\x01".ljust(64, b"\0")
    place = (
        f'{{"dtype":"<u2","shape":[2],"offset":64,"sha256":"{hashlib.sha256(body).hexdigest()}"}}'
    )
    header = b'{"kind":"k","meta":{"n":1},"arrays":{"a":' + place.encode() + b"}}"
    prelude = MAGIC + struct.pack("<IIQQ", 2, 0, 128 + len(header), 128)
    digest = hashlib.sha256(prelude + header)
    assert (tmp_path / "file").read_bytes() == prelude + digest.digest() + body + header
    assert read_file(tmp_path / "file", "k").digest == digest.hexdigest()


def test_other_byte_orders_and_strides_are_written_plain(tmp_path: Path) -> None:
    given_ = {"big": np.arange(5, dtype=">i4"), "step": np.arange(20.0).reshape(4, 5)[::2, ::-1]}
    write_file(tmp_path / "file", "test", {}, given_)
    read = read_file(tmp_path / "file", "test").arrays
    assert read["big"].dtype.str == "<i4"
    for name, array in given_.items():
        assert (read[name] == array).all()


@pytest.mark.parametrize(
    "array", [np.array([object()]), np.array(["a"]), np.array([1j]), np.zeros(2, dtype=np.float16)]
)
def test_other_than_plain_numbers_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not kept"):
        write_file(tmp_path / "file", "test", {}, {"a": array})
    assert os.listdir(tmp_path) == []


@given(data=st.data())
@hypothesis
def test_a_file_cut_short_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    example(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    length = data.draw(st.integers(0, len(whole) - 1))
    (tmp_path / "cut").write_bytes(whole[:length])
    with pytest.raises(BadSnapshot):
        read_file(tmp_path / "cut", "test", whole=data.draw(st.booleans()))


@given(data=st.data())
@hypothesis
def test_a_file_with_any_bits_flipped_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    example(tmp_path / "whole")
    changed = bytearray((tmp_path / "whole").read_bytes())
    bits = st.sets(st.integers(0, 8 * len(changed) - 1), min_size=1, max_size=5)
    for bit in data.draw(bits):
        changed[bit // 8] ^= 1 << bit % 8
    (tmp_path / "changed").write_bytes(changed)
    with pytest.raises(BadSnapshot):
        read_file(tmp_path / "changed", "test", whole=data.draw(st.booleans()))


def test_every_single_bit_of_the_prelude_counts(tmp_path: Path) -> None:
    example(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for bit in range(8 * 64):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(BadSnapshot):
            read_file(tmp_path / "changed", "test")


def test_of_a_large_file_the_small_arrays_are_checked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHECKED_AT_ONCE", 1000)
    path = tmp_path / "file"
    arrays = {"large": np.arange(500, dtype=np.int64), "small": np.arange(-50, 0)}
    write_file(path, "test", {}, arrays)
    good = path.read_bytes()
    contents = read_file(path, "test", whole=False)
    assert not contents.whole
    contents.check()
    for name, seen_at_once in (("small", True), ("large", False)):
        changed = bytearray(good)
        changed[good.index(arrays[name].tobytes()) + 8 * 40] ^= 4
        (tmp_path / "changed").write_bytes(changed)
        if seen_at_once:
            with pytest.raises(BadSnapshot, match="small"):
                read_file(tmp_path / "changed", "test", whole=False)
        else:
            opened = read_file(tmp_path / "changed", "test", whole=False)
            with pytest.raises(BadSnapshot, match="large"):
                opened.check()
        with pytest.raises(BadSnapshot, match="digest"):
            read_file(tmp_path / "changed", "test")


@given(junk=st.binary(max_size=300))
@hypothesis
def test_junk_is_refused(tmp_path: Path, junk: bytes) -> None:
    for prefix in (b"", MAGIC, MAGIC + struct.pack("<II", VERSION, 0)):
        (tmp_path / "junk").write_bytes(prefix + junk)
        with pytest.raises(BadSnapshot):
            read_file(tmp_path / "junk", "test")


def test_what_is_added_at_the_end_is_refused(tmp_path: Path) -> None:
    example(tmp_path / "file")
    with (tmp_path / "file").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BadSnapshot, match="it says"):
        read_file(tmp_path / "file", "test")


def sealed(path: Path, header: bytes, data: bytes = b"", *, version: int = VERSION) -> None:
    """A file whose digest and sizes are right, whatever its header says."""
    prelude = MAGIC + struct.pack("<IIQQ", version, 0, 64 + len(data) + len(header), 64 + len(data))
    digest = hashlib.sha256(prelude + header).digest()
    path.write_bytes(prelude + digest + data + header)


SEVENS = b"\x07" * 64


def described(**place: object) -> bytes:
    good = {
        "dtype": "|u1",
        "shape": [64],
        "offset": 64,
        "sha256": hashlib.sha256(SEVENS).hexdigest(),
    }
    return json.dumps({"kind": "test", "meta": {}, "arrays": {"a": {**good, **place}}}).encode()


def test_the_sealed_file_of_these_tests_is_good(tmp_path: Path) -> None:
    sealed(tmp_path / "file", described(), SEVENS)
    assert read_file(tmp_path / "file", "test").arrays["a"].tolist() == [7] * 64


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 5000,
        b'{"kind": "test"}',
        b'{"kind": "test", "meta": [], "arrays": {}}',
        b'{"kind": "test", "meta": {}, "arrays": []}',
        b'{"kind": "test", "meta": {}, "arrays": {"a": 5}}',
        b'{"kind": "other", "meta": {}, "arrays": {}}',
        described(offset=128),
        described(offset=0),
        described(offset=-64),
        described(offset=65),
        described(offset=192),
        described(sha256=None),
        described(sha256="00" * 32),
        described(offset=10**30),
        described(offset=None),
        described(offset="64"),
        described(offset=64.0),
        described(offset=True),
        described(shape=[65]),
        described(shape=[2**62, 4]),
        described(shape=[2**40, 2**40]),
        described(shape=[0, 10**30]),
        described(shape=[-1, -64]),
        described(shape=[64.0]),
        described(shape=64),
        described(shape=None),
        described(shape=[1] * 40),
        described(shape=[True]),
        described(dtype="|O"),
        described(dtype="|V8"),
        described(dtype="<c16"),
        described(dtype=["|u1"]),
        described(dtype="u1,u1"),
        described(dtype=None),
        described(dtype="<f8"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: bytes) -> None:
    sealed(tmp_path / "file", header, SEVENS)
    with pytest.raises(BadSnapshot):
        read_file(tmp_path / "file", "test")


def test_another_version_is_refused_by_its_number(tmp_path: Path) -> None:
    sealed(tmp_path / "file", described(), SEVENS, version=1)
    with pytest.raises(BadSnapshot, match="version 1"):
        read_file(tmp_path / "file", "test")


def test_what_cannot_be_read_at_all(tmp_path: Path) -> None:
    with pytest.raises(BadSnapshot, match="No such file"):
        read_file(tmp_path / "missing", "test")
    with pytest.raises(BadSnapshot, match="directory"):
        read_file(tmp_path, "test")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = example(tmp_path / "file")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "file", "test", {}, {})
    assert os.listdir(tmp_path) == ["file"]
    assert same(read_file(tmp_path / "file", "test"), written)


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, "test", {"n": 0}, {"a": np.zeros(5000)})
    stop, errors = threading.Event(), []

    def write(first: int) -> None:
        for n in range(first, 60, 2):
            write_file(path, "test", {"n": n}, {"a": np.full(5000, float(n))})

    def read() -> None:
        try:
            while not stop.is_set():
                contents = read_file(path, "test")
                assert (contents.arrays["a"] == contents.meta["n"]).all()
        except BaseException as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 1)]
    reader = threading.Thread(target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert errors == []
    assert os.listdir(tmp_path) == ["file"]


WRITER = """
import sys
from pathlib import Path
import numpy as np
from hashdb.format import write_file
n = 1
while True:
    write_file(Path(sys.argv[1]), "test", {"n": n}, {"a": np.full(50_000, n)})
    if n == 1:
        print("writing", flush=True)
    n += 1
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for wait in (0.0, 0.013, 0.05, 0.081):
        command = [sys.executable, "-c", WRITER, str(path)]
        root = Path(__file__).parents[2]
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(wait)
            writer.kill()
        contents = read_file(path, "test")
        assert (contents.arrays["a"] == contents.meta["n"]).all()


def test_a_map_outlives_the_file_that_it_is_of(tmp_path: Path) -> None:
    written = example(tmp_path / "file")
    contents = read_file(tmp_path / "file", "test")
    write_file(tmp_path / "file", "test", {}, {})
    assert same(contents, written)
    (tmp_path / "file").unlink()
    assert same(contents, written)


def test_leftovers_of_killed_writers_are_swept_after_a_while(tmp_path: Path) -> None:
    example(tmp_path / "file")
    old, new = tmp_path / ".writing-file-old", tmp_path / ".writing-file-new"
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [new.name, "file"]
