"""The API's own document, its browser, and a page for each type of problem."""

from __future__ import annotations

import html
import json

from api.problems import PROBLEMS, ProblemType
from api.routes.route import PUBLIC, Answer, Call, Route, Service
from hashdb.errors import NotFound

HTML = "text/html"
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{head}</head>
<body>
{body}
</body>
</html>
"""

_BROWSER = _PAGE.format(
    title="Seawall's API",
    head='<link rel="stylesheet" href="/static/swagger-ui.css">\n',
    body=(
        '<div id="browser"></div>\n'
        '<script src="/static/swagger-ui-bundle.js"></script>\n'
        '<script src="/static/docs.js"></script>'
    ),
)


def document(service: Service, call: Call) -> Answer:
    return Answer(json.dumps(service.document))


def browser(service: Service, call: Call) -> Answer:
    return Answer(_BROWSER, headers={"Content-Security-Policy": DOCS_POLICY}, media_type=HTML)


def problem_page(service: Service, call: Call) -> Answer:
    try:
        kind = PROBLEMS[call.path["slug"]]
    except KeyError:
        raise NotFound("there is no such type of problem") from None
    return Answer(_PAGE.format(title=html.escape(kind.title), head="", body=_about(kind)),
                  media_type=HTML)  # fmt: skip


def problem_index(service: Service, call: Call) -> Answer:
    items = "\n".join(
        f'<li><a href="{p.uri}">{html.escape(p.slug)}</a> ({p.status}): {html.escape(p.title)}</li>'
        for p in PROBLEMS.values()
    )
    body = f"<h1>Types of problems</h1>\n<ul>\n{items}\n</ul>"
    return Answer(_PAGE.format(title="Types of problems", head="", body=body), media_type=HTML)


def _about(kind: ProblemType) -> str:
    title, text = html.escape(kind.title), html.escape(kind.text)
    return (
        f"<h1>{title}</h1>\n<p>Status {kind.status}, type <code>{kind.uri}</code></p>\n"
        f'<p>{text}</p>\n<p><a href="/problems">All types</a></p>'
    )


ROUTES = (
    Route(
        "GET",
        "/openapi.json",
        "document",
        document,
        "This document",
        "documentation",
        PUBLIC,
        {200: "application/json"},
    ),
    Route(
        "GET",
        "/docs",
        "browser",
        browser,
        "This document, to browse",
        "documentation",
        PUBLIC,
        {200: HTML},
    ),
    Route(
        "GET",
        "/problems",
        "problemIndex",
        problem_index,
        "All types of problems",
        "documentation",
        PUBLIC,
        {200: HTML},
    ),
    Route(
        "GET",
        "/problems/{slug}",
        "problemPage",
        problem_page,
        "What a problem's type means",
        "documentation",
        PUBLIC,
        {200: HTML},
        errors=(NotFound,),
    ),
)
