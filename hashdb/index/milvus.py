"""Exact Hamming range search by a Milvus server, whose collections processes share.

The collection's index is BIN_FLAT, which compares all codes: Milvus' other binary index, BIN_IVF,
loses hits of a range search whatever is asked of it. Figures and reasons: docs/decisions/0025.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from hashdb.errors import BadSetting, IndexUnavailable
from hashdb.index import milvus_search
from hashdb.index.checks import check_bits, check_codes, check_entries, check_ids, check_radius
from hashdb.index.entries import OwnCopy
from hashdb.index.milvus_search import FIELDS, MOST, RowsOf
from hashdb.index.milvus_server import MilvusServer
from hashdb.model import Codes, Ints
from hashdb.placings import sorted_bits
from hashdb.ports import CodeHits, Mark, PlacedCodes, PlacedHits

Answer = TypeVar("Answer")

_INSERTED = 100_000  # rows inserted at once: 6 MB of the 64 MB that Milvus takes in a message
_NAMED = 10_000  # ids named in one expression
_LOW, _END = 0, 2**63 - 1
_MARKS = "id < 0"  # the mark of change n has the id -1 - n


class MilvusIndex(OwnCopy):
    """Codes of `bits` bits in the collection `name`, made where it is not there: an `IndexBackend`
    and a `SharedCodes`. Opened by the first call that needs it. Every method raises
    `IndexUnavailable`, and `BadSetting` where that collection is of another kind.

    What `add` and `remove` have written is found by the next search; what was `put`, or written by
    other processes, from the next `catch_up` on. A change of up to 100,000 codes is seen as a whole
    or not at all by a search, unless a query has more than 64 hits: those are asked for again.
    """

    def __init__(self, bits: int, server: MilvusServer, name: str) -> None:
        self._bits = check_bits(bits)
        self._server, self.name = server, name
        self._write, self._open = threading.Lock(), threading.Lock()
        self._opened = False
        self._seen = 0  # a time by Milvus' clock, as of which at the least all is to be seen

    @property
    def bits(self) -> int:
        return self._bits

    def __len__(self) -> int:
        return self._count("id >= 0")

    @property
    def shares(self) -> bool:
        return False

    def add(self, codes: Codes, ids: Ints) -> None:
        """As `IndexBackend.add`; `ValueError` where an id is there already."""
        codes, ids = check_entries(codes, ids, self._bits)
        with self._write:
            for some in _pieces(ids, _NAMED):
                if self._count(_named(some)):
                    raise ValueError("an id is in the index already")
            self._insert(_unplaced(codes, ids))
            self.catch_up()

    def put(self, rows: PlacedCodes) -> None:
        """As `SharedCodes.put`."""
        check_entries(rows.codes, rows.ids, self._bits)
        with self._write:
            self._insert(rows)

    def remove(self, ids: Ints) -> None:
        """As `IndexBackend.remove`."""
        ids = np.unique(check_ids(ids))
        with self._write:
            self._delete(ids)
            if len(ids):
                self.catch_up()

    def search(self, codes: Codes, radius: int, most: int | None = None) -> CodeHits:
        """As `IndexBackend.search`."""
        return self.find(codes, radius, most).hits

    def may_hit(self, codes: Codes, radius: int) -> bool:
        """As `IndexBackend.may_hit`."""
        return True

    def find(self, codes: Codes, radius: int, most: int | None = None) -> PlacedHits:
        """As `SharedCodes.find`."""
        codes = check_codes(codes, self._bits)
        radius = min(check_radius(radius), self._bits)
        return milvus_search.find(self._near, codes, radius, most)

    def within(self, low: int, end: int) -> PlacedCodes:
        """As `SharedCodes.within`."""
        return milvus_search.within(self._rows, low, end, self._bits)

    def arrays(self) -> tuple[Codes, Ints]:
        """As `IndexBackend.arrays`."""
        every = self.within(_LOW, _END)
        return every.codes, every.ids

    def parts(self) -> tuple[int, Iterator[tuple[Codes, Ints]]]:
        """As `IndexBackend.parts`: a copy of all, for Milvus keeps no past states."""
        codes, ids = self.arrays()
        return len(ids), iter([(sorted_bits(codes), ids)])

    def catch_up(self) -> None:
        """As `SharedCodes.catch_up`."""
        self._seen = max(self._seen, self._ask(_now))

    def mark(self) -> Mark | None:
        """As `SharedCodes.mark`."""
        rows = self._rows(_MARKS, ["id", "code"], slow=False)
        if not rows:
            return None
        last = min(rows, key=lambda row: int(row["id"]))
        return Mark(-1 - int(last["id"]), bytes(last["code"][0][:8]))

    def set_mark(self, mark: Mark) -> None:
        """As `SharedCodes.set_mark`."""
        code = np.zeros((1, self._bits // 8), dtype=np.uint8)
        code[0, :8] = np.frombuffer(mark.check, dtype=np.uint8)
        with self._write:
            old = self._rows(_MARKS, ["id", "code"])
            others = [row["id"] for row in old if row["code"][0] != code.tobytes()]
            here = [row["id"] for row in old if row["id"] == -1 - mark.number]
            if here and here[0] in others:
                self._delete(np.array(here))
            if not here or here[0] in others:
                self._insert(_unplaced(code, np.array([-1 - mark.number])))
            stale = [row["id"] for row in old if row["id"] != -1 - mark.number]
            self._delete(np.array(stale, dtype=np.int64))
            self.catch_up()

    def settle(self) -> None:
        """As `SharedCodes.settle`: Milvus files what it was given for its index at once."""
        self._ask(lambda client, seconds: client.flush(self.name, timeout=seconds), slow=True)

    def clear(self) -> None:
        """Take all out, and the mark."""
        with self._write:
            while rows := self._rows(f"id < {_END}", ["id"]):
                self._delete(np.array([row["id"] for row in rows]))
                self.catch_up()

    def drop(self) -> None:
        """Delete the collection, with all that is in it."""
        self._server.ask(lambda client, s: client.drop_collection(self.name, timeout=s), slow=True)
        self._opened = False

    # What is asked of the server.

    def _ask(self, question: Callable[[Any, float], Answer], *, slow: bool = False) -> Answer:
        if not self._opened:
            with self._open:
                if not self._opened:
                    self._server.ask(self._make, slow=True)
                    self._opened = True
        try:
            return self._server.ask(question, slow=slow)
        except IndexUnavailable:
            self._opened = False  # the collection may be gone, or not be loaded any more
            raise

    def _make(self, client: Any, seconds: float) -> None:
        """Make the collection where it is missing, and load it into Milvus' memory."""
        from pymilvus import DataType

        if not client.has_collection(self.name, timeout=seconds):
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("code", DataType.BINARY_VECTOR, dim=self._bits)
            schema.add_field("offset", DataType.DOUBLE)
            schema.add_field("span", DataType.DOUBLE)
            schema.add_field("track", DataType.INT32)
            index = client.prepare_index_params()
            index.add_index("code", index_type="BIN_FLAT", metric_type="HAMMING")
            client.create_collection(
                self.name, schema=schema, index_params=index, num_shards=1, timeout=seconds
            )
        self._check(client, seconds)
        client.load_collection(self.name, timeout=seconds)

    def _check(self, client: Any, seconds: float) -> None:
        """`BadSetting` where the collection is not as this version makes it."""
        found = client.describe_collection(self.name, timeout=seconds)
        names = [field["name"] for field in found["fields"]]
        bits = [f["params"].get("dim") for f in found["fields"] if f["name"] == "code"]
        if names != ["id", *FIELDS] or [int(b or 0) for b in bits] != [self._bits]:
            raise BadSetting(f"Milvus' collection {self.name!r} is of another version of Seawall")
        if found["num_shards"] != 1:
            raise BadSetting(f"Milvus' collection {self.name!r} has more than one shard")
        for name in client.list_indexes(self.name, "code", timeout=seconds):
            index = client.describe_index(self.name, name, timeout=seconds)
            if (index["index_type"], index["metric_type"]) != ("BIN_FLAT", "HAMMING"):
                raise BadSetting(f"Milvus' collection {self.name!r} has an index that loses hits")

    def _insert(self, rows: PlacedCodes) -> None:
        columns = (
            rows.ids.tolist(),
            [code.tobytes() for code in rows.codes],
            rows.offsets.tolist(),
            rows.spans.tolist(),
            rows.tracks.tolist(),
        )
        names = ("id", *FIELDS)
        every = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

        def insert(some: list[dict[str, Any]]) -> None:
            self._ask(lambda client, s: client.insert(self.name, some, timeout=s), slow=True)

        for first in range(0, len(every), _INSERTED):
            insert(every[first : first + _INSERTED])

    def _delete(self, ids: Ints) -> None:
        def delete(some: Ints) -> None:
            gone = _named(some)
            self._ask(lambda client, s: client.delete(self.name, filter=gone, timeout=s))

        for some in _pieces(ids, _NAMED):
            delete(some)

    def _count(self, which: str) -> int:
        rows = self._rows(which, ["count(*)"], None, slow=False)
        return int(rows[0]["count(*)"])

    def _rows(
        self, which: str, names: list[str], most: int | None = MOST, *, slow: bool = True
    ) -> list[dict[str, Any]]:
        """After many insertions it takes Milvus a while until it has taken them in."""
        limit = {} if most is None else {"limit": most}
        return self._ask(
            lambda client, seconds: list(
                client.query(
                    self.name,
                    filter=which,
                    output_fields=names,
                    timeout=seconds,
                    **self._as_of(),
                    **limit,
                )
            ),
            slow=slow,
        )

    def _near(self, codes: Codes, low: int, high: int, which: str, most: int) -> RowsOf:
        """As `milvus_search.Near`. Milvus' radius is exclusive, its `range_filter` inclusive."""
        bounds = {"radius": high + 1, "range_filter": low}
        return self._ask(
            lambda client, seconds: client.search(
                self.name,
                [code.tobytes() for code in codes],
                anns_field="code",
                filter=which,
                limit=most,
                search_params={"metric_type": "HAMMING", "params": bounds},
                output_fields=FIELDS,
                timeout=seconds,
                **self._as_of(),
            )
        )

    def _as_of(self) -> dict[str, Any]:
        return {"consistency_level": "Customized", "guarantee_timestamp": max(1, self._seen)}


def _now(client: Any, seconds: float) -> int:
    """Milvus' own time, after all that it has acknowledged."""
    return int(client._get_connection().alloc_timestamp(timeout=seconds))


def _unplaced(codes: Codes, ids: Ints) -> PlacedCodes:
    nothing = np.zeros(len(ids))
    return PlacedCodes(ids, codes, nothing, nothing, nothing.astype(np.int32))


def _named(ids: Ints) -> str:
    return f"id in {ids.tolist()}"


def _pieces(ids: Ints, size: int) -> Iterator[Ints]:
    for first in range(0, len(ids), size):
        yield ids[first : first + size]
