"""The API's document (OpenAPI 3.1.1), written from the table of routes and the models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from api import problems, schemas
from api.routes.route import Route
from hashdb.errors import (
    BadArgument,
    DatabaseUnavailable,
    Forbidden,
    Invalid,
    NotUpgraded,
    RateLimited,
    SeawallError,
    Unauthenticated,
    Unavailable,
)
from hashdb.model import Role

_REF = "#/components/schemas/{model}"
_PROBLEM = {"$ref": "#/components/schemas/ProblemOut"}
_ALWAYS = (Unavailable, DatabaseUnavailable, NotUpgraded)
_WITH_KEY = (Unauthenticated, Forbidden, RateLimited)

PATH_PARAMETERS: dict[str, Any] = {
    "bank": schemas.Name,
    "job_id": schemas.Ident,
    "reference_id": schemas.Ident,
    "review_id": schemas.Ident,
    "slug": schemas.Ident,
    "upload_id": schemas.UploadId,
}
_JSON_FIELDS = ("classifications", "metadata")

_ABOUT = """Seawall keeps confirmed attack footage from coming back.

Send `Authorization: Bearer KEY`; `seawall key create --role ROLE` makes keys. Errors are problem
documents (RFC 9457); [each type has a page](/problems). **Anything but 200 from `POST /match`
means hold the upload, do not publish it.**"""


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole document for these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.1",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Seawall",
            "version": _version(),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(r.tag for r in routes)],
        "paths": paths,
        "components": {
            "schemas": _schemas(routes),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _version() -> str:
    try:
        return version("seawall")
    except PackageNotFoundError:
        return "0"


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    models: dict[type[BaseModel], None] = {schemas.ProblemOut: None}
    for route in routes:
        for model in (route.body, *route.answers.values()):
            if isinstance(model, type):
                models[model] = None
    _, found = models_json_schema(
        [(m, "validation") for m in models], ref_template=_REF, by_alias=True
    )
    defs: dict[str, Any] = found["$defs"]
    return {name: _tidy(schema) for name, schema in sorted(defs.items())}


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "description": _text(route),
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": _responses(route),
        "security": [{"key": []}] if route.roles else [],
    }
    if route.prefer_async:
        operation["parameters"].append(_prefer())
    if route.body is not None or route.form is not None:
        operation["requestBody"] = {"required": True, "content": _bodies(route)}
    return {name: value for name, value in operation.items() if value not in ("", None)}


def _text(route: Route) -> str:
    if not route.roles:
        return route.text
    roles = ", ".join(sorted(route.roles | {Role.ADMIN}))
    return f"{route.text}\n\nRoles: {roles}.".strip()


def _prefer() -> dict[str, Any]:
    return {
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async` (RFC 7240) asks for 202 and a job",
        "schema": {"type": "string"},
        "example": "respond-async",
    }


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _tidy(TypeAdapter(PATH_PARAMETERS[name]).json_schema()),
        }
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = route.query.model_json_schema(ref_template=_REF)
    required = schema.get("required", [])
    parameters = []
    for name, value in schema["properties"].items():
        value = _tidy(_without_null(value))
        text = value.pop("description", None)
        parameter = {"name": name, "in": "query", "required": name in required, "schema": value}
        parameters.append({**parameter, **({"description": text} if text else {})})
    return parameters


def _bodies(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if route.body is not None:
        content["application/json"] = {"schema": _ref(route.body)}
    if route.form is not None:
        content["multipart/form-data"] = _form(route.form)
    return content


def _form(model: type[BaseModel]) -> dict[str, Any]:
    """The form's fields and the file; fields that hold JSON are given as what the JSON holds."""
    schema = model.model_json_schema(mode="serialization", ref_template=_REF)
    properties = {
        "media": {
            "type": "string",
            "contentMediaType": "application/octet-stream",
            "description": "an image or a video",
        },
        **{name: _tidy(_without_null(value)) for name, value in schema["properties"].items()},
    }
    encoding: dict[str, Any] = {"media": {"contentType": "application/octet-stream"}}
    for name in properties:
        if name in _JSON_FIELDS:
            encoding[name] = {"contentType": "application/json"}
    required = ["media", *(n for n in schema.get("required", []) if n not in _JSON_FIELDS)]
    body = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return {"schema": body, "encoding": encoding}


def _responses(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, answer in route.answers.items():
        responses[str(status)] = {"description": _described(status), "content": _content(answer)}
    for status, kinds in sorted(_problems(route).items()):
        text = "; ".join(f"[{k.slug}]({k.uri})" for k in kinds)
        entry = responses.setdefault(str(status), {"description": text, "content": {}})
        entry["content"][problems.MEDIA_TYPE] = {"schema": _PROBLEM}
    return responses


def _content(answer: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {answer: {}}
    return {"application/json": {"schema": _ref(answer)}}


def _described(status: int) -> str:
    return {200: "Done", 201: "Made", 202: "Promised: see the job"}.get(status, "See the body")


def _problems(route: Route) -> Mapping[int, list[problems.ProblemType]]:
    errors: list[type[SeawallError]] = [*route.errors, *_ALWAYS]
    slugs = []
    if route.roles:
        errors += _WITH_KEY
        errors.append(BadArgument)
    if route.body is not None or route.form is not None:
        errors.append(Invalid)
        slugs += ["bad-request", "body-too-large", "unsupported-content-type"]
    if "{" in route.path:
        slugs.append("not-found")
    kinds = [problems.BY_ERROR[e] for e in errors] + [problems.PROBLEMS[s] for s in slugs]
    kinds.append(problems.PROBLEMS["internal"])
    by_status: dict[int, list[problems.ProblemType]] = {}
    for kind in dict.fromkeys(kinds):
        by_status.setdefault(kind.status, []).append(kind)
    return by_status


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query or form field is left out rather than sent as null."""
    options = [o for o in schema.get("anyOf", []) if o != {"type": "null"}]
    if not options:
        return schema
    rest = {k: v for k, v in schema.items() if k not in ("anyOf", "default")}
    return {**rest, **(options[0] if len(options) == 1 else {"anyOf": options})}


def _tidy(schema: Any) -> Any:
    """Without pydantic's titles, which say what the names say already."""
    if isinstance(schema, dict):
        return {k: _tidy(v) for k, v in schema.items() if not (k == "title" and isinstance(v, str))}
    return [_tidy(v) for v in schema] if isinstance(schema, list) else schema
