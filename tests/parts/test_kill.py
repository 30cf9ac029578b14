"""SIGKILL at random moments: what was acknowledged is kept, and matches after a restart."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.services import Place, Service, add_hashes, serving, verdict_on

pytestmark = pytest.mark.heavy
ADDS = 200


def add_until_killed(
    service: Service, key: str, todo: list[int], acknowledged: dict[int, str]
) -> None:
    """Adds what is to do, one after the other, until the service is gone."""
    with service.client(key) as client:
        while todo:
            seed = todo[-1]
            try:
                acknowledged[seed] = add_hashes(client, "attacks", seed)
            except httpx.TransportError:
                return
            todo.pop()


def test_every_acknowledged_addition_over_http_matches_after_a_restart(tmp_path: Path) -> None:
    moments = random.Random(2019)
    place = Place(tmp_path / "data")
    place.run("bank", "create", "attacks")
    key = place.key("admin")
    lists = [list(range(part, ADDS, 4)) for part in range(4)]
    acknowledged: dict[int, str] = {}
    kills = 0
    while any(lists):
        with serving(place) as service:
            adding = [
                threading.Thread(target=add_until_killed, args=(service, key, todo, acknowledged))
                for todo in lists
            ]
            for thread in adding:
                thread.start()
            if kills < 5:
                time.sleep(moments.uniform(0.01, 0.07))
                service.kill()
                kills += 1
            for thread in adding:
                thread.join()
    assert kills == 5
    assert len(acknowledged) == ADDS
    with serving(place) as service, service.client(key) as client:
        for seed, reference_id in acknowledged.items():
            verdict = verdict_on(client, seed)
            assert verdict["action"] == "block", (seed, verdict)
            assert reference_id in [m["reference_id"] for m in verdict["matches"]]
    (report,) = place.lines("index", "verify")
    assert report["ok"], report


def picture(seed: int, path: Path) -> None:
    """Random blotches: a picture of its own, with enough in it for a good hash."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC).save(path)


def test_adding_files_is_taken_up_again_where_it_was_killed(tmp_path: Path) -> None:
    moments = random.Random(2020)
    place = Place(tmp_path / "data")
    place.run("bank", "create", "attacks")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(40):
        picture(seed, folder / f"{seed:03d}.png")
    arguments = ("reference", "add", "--bank", "attacks", "--json", str(folder))
    acknowledged: dict[str, str] = {}
    for _ in range(4):
        process = place.start(*arguments)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(moments.uniform(0.0, 1.0))
        os.killpg(process.pid, signal.SIGKILL)
        rest = process.stdout.read()
        process.wait()
        for line in (first + rest).splitlines(keepends=True):
            if line.endswith("\n"):
                added = json.loads(line)
                before = acknowledged.setdefault(added["file"], added["reference_id"])
                assert before == added["reference_id"]
    assert acknowledged
    added = place.lines(*arguments[:-2], str(folder))
    assert [Path(a["file"]).name for a in added] == [f"{n:03d}.png" for n in range(40)]
    assert acknowledged.items() <= {a["file"]: a["reference_id"] for a in added}.items()
    listed = place.lines("reference", "list")
    assert len(listed) == len({a["reference_id"] for a in added}) == 40
    assert {v["action"] for v in place.lines("match", str(folder))} == {"block"}
