"""The whole service, decoder and sandbox included, and what is sent to it that is no video."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from api import wiring
from api.app import create_app
from api.routes.health import png
from api.settings import Settings
from hashdb.model import Role
from tests.http.conftest import part, problem

MEDIA = Path(__file__).parents[1] / "media"
VIDEO = MEDIA / "o554_movie.mp4"
RECODED = MEDIA / "p555_movie.ogv"
UNRELATED = MEDIA / "o597_bbb.mp4"

Ask = Callable[..., TestResponse]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Asks a service as an admin; it holds one bank with one video."""
    folder = tmp_path_factory.mktemp("real")
    settings = Settings(
        folder, f"sqlite:///{folder / 'seawall.db'}", max_upload_mb=8, rate_limit="100000/minute"
    )
    parts = wiring.build(settings)
    with parts.store.begin() as tx:
        _, secret = tx.access.create(Role.ADMIN, "test")
    client: FlaskClient = create_app(parts, background=False).test_client()

    def ask(method: str, path: str, **more: object) -> TestResponse:
        headers = {"Authorization": f"Bearer {secret}"}
        return client.open(path, method=method, headers=headers, **more)  # type: ignore[arg-type]

    assert ask("POST", "/banks", json={"name": "attacks"}).status_code == 201
    data = {"bank": "attacks", "media": part(VIDEO.read_bytes())}
    assert ask("POST", "/references", data=data).status_code == 201
    yield ask
    parts.close()


def match(ask: Ask, media: bytes, name: str = "upload.mp4") -> TestResponse:
    return ask("POST", "/match", data={"media": part(media, name)})


def test_the_service_is_ready(ask: Ask) -> None:
    assert ask("GET", "/readyz").json["checks"] == {
        "database": "ok",
        "index": "ok",
        "sandbox": "ok",
        "storage": "ok",
    }


def test_a_copy_in_another_codec_is_blocked_with_its_segment(ask: Ask) -> None:
    body = match(ask, RECODED.read_bytes()).json
    assert body["action"] == "block"
    low, high = body["matches"][0]["score_bounds"]
    assert 0.9 < low <= body["matches"][0]["score"] <= high <= 1.0
    (segment,) = body["matches"][0]["segments"]
    assert segment["query"]["end"] - segment["query"]["start"] > 9
    assert abs(segment["query"]["start"] - segment["reference"]["start"]) < 0.5


def test_an_unrelated_video_is_allowed(ask: Ask) -> None:
    body = match(ask, UNRELATED.read_bytes()).json
    assert (body["action"], body["matches"]) == ("allow", [])
    assert body["coverage"]["judged_s"] > 0.9 * body["coverage"]["total_s"] > 0


def test_hashes_made_by_the_service_find_the_same(ask: Ask) -> None:
    made = ask("POST", "/hash", data={"media": part(RECODED.read_bytes())}).json
    sent = {"fingerprints": made["fingerprints"], "duration": made["duration"]}
    body = ask("POST", "/match", json=sent).json
    assert body["action"] == "block"
    assert body["coverage"]["total_s"] == made["coverage"]["total_s"]


def test_a_dense_hash_has_more_frames(ask: Ask) -> None:
    def frames(**fields: str) -> int:
        answer = ask("POST", "/hash", data={"media": part(VIDEO.read_bytes()), **fields})
        return len(answer.json["fingerprints"][0]["frames"])

    assert frames(dense="true") > 2 * frames()


def picture(kind: str, size: tuple[int, int] = (320, 240), **more: object) -> bytes:
    noise = np.random.default_rng(7).integers(0, 255, (size[1] // 8, size[0] // 8, 3))
    image = Image.fromarray(noise.astype(np.uint8)).resize(size)
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def huge_png(side: int) -> bytes:
    """A grey picture of side x side pixels that packs to almost nothing."""
    small = png(8)
    header = small[:16] + side.to_bytes(4) * 2 + small[24:29]
    header += zlib.crc32(header[12:]).to_bytes(4)
    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    body = b"IDAT" + data
    chunk = len(data).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)
    return header + chunk + small[-12:]


def sound() -> bytes:
    """A second of silence as WAVE."""
    import wave

    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    return out.getvalue()


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("media", "slugs"),
    [
        (b"just text, renamed\n" * 100, {"unsupported-media"}),
        (VIDEO.read_bytes()[:5000], {"corrupt-media", "unsupported-media"}),
        (bytes(100_000), {"unsupported-media"}),
        (np.random.default_rng(1).bytes(100_000), {"unsupported-media", "corrupt-media"}),
        (sound(), {"no-picture", "unsupported-media"}),
        (huge_png(20_000), {"media-too-large"}),
        (PLAYLIST, {"unsupported-media"}),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", {"unsupported-media"}),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {"unsupported-media"}),
    ],
    ids=["text", "torn", "zeros", "noise", "sound", "huge", "playlist", "concat", "svg"],
)
def test_what_cannot_be_judged_is_a_problem(ask: Ask, media: bytes, slugs: set[str]) -> None:
    answer = match(ask, media)
    assert answer.status_code in (413, 422), answer.text
    body = problem(answer, answer.json["type"].removeprefix("/problems/"))
    assert body["type"].removeprefix("/problems/") in slugs
    assert body["detail"]


def one_pixel() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (1, 1), "red").save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "media", [one_pixel(), picture("PNG")[:300]], ids=["one pixel", "half a picture"]
)
def test_what_shows_next_to_nothing_is_never_allowed(ask: Ask, media: bytes) -> None:
    answer = match(ask, media)
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        assert answer.json["action"] == "review"


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_pictures_of_many_formats(ask: Ask, kind: str) -> None:
    answer = match(ask, picture(kind), f"a.{kind.lower()}")
    if answer.status_code == 200:
        assert answer.json["action"] == "allow", answer.text
        assert answer.json["coverage"]["frames"] == 1
    else:
        problem(answer, "unsupported-media")


def test_metadata_of_a_reference_stays(ask: Ask) -> None:
    metadata = {"case": "7", "by": ["ann", "bo"]}
    data = {
        "bank": "attacks",
        "media": part(picture("PNG")),
        "metadata": json.dumps(metadata),
    }
    made = ask("POST", "/references", data=data)
    assert made.status_code == 201
    assert (made.json["kind"], made.json["metadata"]) == ("image", metadata)
