"""The API against its own document: schemathesis makes requests, good and bad, from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection

from api.app import create_app
from api.routes.route import Route
from api.routes.table import ROUTES
from api.settings import Settings
from hashdb.model import Role
from tests import fakes
from tests.http.conftest import PICTURE

EXAMPLES = 15
VPDQ = f"0,100,{'0f' * 32},0.000\n"
HEAVY_EXAMPLES = 100


class Api:
    """A service with something in it, its schema, and an admin's key."""

    def __init__(self, folder: Path, database_url: str):
        settings = Settings(folder, database_url, max_upload_mb=1, rate_limit="1000000/second")
        self.parts = fakes.build(settings)
        with self.parts.store.begin() as tx:
            _, self.secret = tx.access.create(Role.ADMIN, "schemathesis")
            tx.banks.create("attacks")
        app = create_app(self.parts, background=False)
        # No schema of any JSON can say: no NUL. Tests of metadata send it.
        config = SchemathesisConfig.from_dict({"generation": {"allow-x00": False}})
        self.schema: BaseSchema = schemathesis.openapi.from_wsgi(
            "/openapi.json", app, config=config
        )

    def ask(self, case: Case, mode: GenerationMode) -> None:
        """Send one made-up request, and hold the answer against the document."""
        # Wrong keys are limited by address, which is tested elsewhere, for every route.
        excluded = [ignored_auth]
        if case.media_type == "multipart/form-data":
            excluded.append(negative_data_rejection)  # a form has no types: all is text
        if any(isinstance(v, list) and len(v) < 2 for v in (case.query or {}).values()):
            # An empty list is not sent at all, and a list of one is sent as that one.
            excluded.append(negative_data_rejection)
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict) and "media" in case.body:
            # No schema can say which bytes are an image.
            case.body = {**case.body, "media": PICTURE}
        elif mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
            # Nor which text is a vPDQ list, and which frames are flat.
            case.body = {**case.body, **_readable(case.body)}
            if "bank" in case.body and not (case.body.get("sha256") or case.body.get("md5")):
                case.body = {**case.body, "sha256": "0" * 64}
        case.call_and_validate(
            headers={"Authorization": f"Bearer {self.secret}"},
            excluded_checks=excluded,
        )


def _readable(body: dict[str, Any]) -> dict[str, Any]:
    sent = body.get("fingerprints")
    if not isinstance(sent, list):
        return {}
    return {"fingerprints": [{**f, "list": VPDQ} if "list" in f else f for f in sent]}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("schema")
    made = Api(folder, f"sqlite:///{folder / 'seawall.db'}")
    yield made
    made.parts.close()


def explore(api: Api, route: Route, mode: GenerationMode, examples: int) -> None:
    operation = api.schema[route.path][route.method]

    @seed(20190315)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        api.ask(case, mode)

    run()


def _has_input(route: Route) -> bool:
    return bool(route.query or route.body or route.form or route.roles or "{" in route.path)


ASKED = [
    pytest.param(route, mode, id=f"{route.name}-{mode.value}")
    for route in ROUTES
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or _has_input(route)
]


@pytest.mark.parametrize(("route", "mode"), ASKED)
def test_answers_are_as_documented(api: Api, route: Route, mode: GenerationMode) -> None:
    explore(api, route, mode, EXAMPLES)


@pytest.mark.heavy
def test_many_answers_are_as_documented_on_postgres(tmp_path: Path, postgres_url: str) -> None:
    """PostgreSQL is pickier than SQLite about texts and numbers."""
    api = Api(tmp_path, postgres_url)
    for route, mode in (p.values for p in ASKED):
        explore(api, route, mode, HEAVY_EXAMPLES)
    api.parts.close()
