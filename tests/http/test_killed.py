"""Promises of a service that is killed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from tests.services import Place, serving

MEDIA = Path(__file__).parents[1] / "media"


def promised(client: httpx.Client, upload_id: str, file: Path) -> str:
    with file.open("rb") as media:
        answer = client.post(
            "/match",
            files={"media": media},
            data={"upload_id": upload_id},
            headers={"Prefer": "respond-async"},
        )
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def ended(client: httpx.Client, path: str) -> dict[str, Any]:
    until = time.monotonic() + 90
    while True:
        job: dict[str, Any] = client.get(path).json()
        if job["status"] in ("done", "failed"):
            return job
        assert time.monotonic() < until, job
        time.sleep(0.2)


def test_promises_outlive_sigkill(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    key = place.key("admin")
    with serving(place) as service, service.client(key) as client:
        assert client.post("/banks", json={"name": "attacks"}).status_code == 201
        with (MEDIA / "o554_movie.mp4").open("rb") as media:
            added = client.post("/references", files={"media": media}, data={"bank": "attacks"})
        assert added.status_code == 201
        copies = [promised(client, f"copy-{i}", MEDIA / "p555_movie.ogv") for i in range(3)]
        other = promised(client, "other", MEDIA / "o597_bbb.mp4")
        service.kill()
    with serving(place) as service, service.client(key) as client:
        for path in copies:
            job = ended(client, path)
            assert job["verdict"]["action"] == "block", job
        assert ended(client, other)["verdict"]["action"] == "allow"
        assert promised(client, "other", MEDIA / "o597_bbb.mp4") == other
    assert list((place.folder / "spool").iterdir()) == []
