"""A service over a real database and index, with one key a role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from api.routes.health import png
from api.settings import Settings
from hashdb.model import Key, Role
from tests import fakes
from tests.fakes import FakeSandbox, ServiceParts

PICTURE = png(64)
OTHER = png(65)


@dataclass(frozen=True)
class Service:
    """A running application and how to ask it in each role."""

    client: FlaskClient
    parts: ServiceParts
    keys: dict[Role, Key]
    secrets: dict[Role, str]

    def ask(self, role: Role | None, method: str, path: str, **more: Any) -> TestResponse:
        headers = dict(more.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {self.secrets[role]}"
        return self.client.open(path, method=method, headers=headers, **more)

    def bank(self, name: str = "attacks", **body: Any) -> dict[str, Any]:
        answer = self.ask(Role.MODERATOR, "POST", "/banks", json={"name": name, **body})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json
        return found

    def reference(self, bank: str = "attacks", media: bytes = PICTURE) -> dict[str, Any]:
        answer = self.ask(
            Role.MODERATOR, "POST", "/references", data={"bank": bank, "media": part(media)}
        )
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json
        return found

    def match(self, media: bytes = PICTURE, **fields: Any) -> TestResponse:
        headers = fields.pop("headers", {})
        data = {**fields, "media": part(media)}
        return self.ask(Role.PIPELINE, "POST", "/match", data=data, headers=headers)


def part(media: bytes, name: str = "media.bin") -> tuple[Any, str]:
    """A file part for the test client."""
    import io

    return io.BytesIO(media), name


Make = Callable[..., Service]


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=sqlite_url, max_upload_mb=1)


@pytest.fixture
def make_service(settings: Settings) -> Iterator[Make]:
    """Make a service; keyword arguments change settings, `sandbox` is the fake to use."""
    made: list[ServiceParts] = []

    def make(*, sandbox: FakeSandbox | None = None, jobs: bool = False, **changes: Any) -> Service:
        parts = fakes.build(replace(settings, **changes), sandbox)
        made.append(parts)
        with parts.store.begin() as tx:
            created = {role: tx.access.create(role, role.value) for role in Role}
        app = create_app(parts, background=jobs)
        return Service(
            app.test_client(),
            parts,
            {role: key for role, (key, _) in created.items()},
            {role: secret for role, (_, secret) in created.items()},
        )

    yield make
    for parts in made:
        parts.close()


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service()


def problem(answer: TestResponse, slug: str) -> dict[str, Any]:
    """The problem document of an answer, which is of this type."""
    assert answer.content_type == "application/problem+json", answer.text
    body: dict[str, Any] = answer.json
    assert body["type"] == f"/problems/{slug}", body
    assert body["status"] == answer.status_code
    return body
