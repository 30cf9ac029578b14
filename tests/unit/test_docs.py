"""Documentation under test: what the pages name exists, and what exists is named."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from api.cli import cli
from api.routes.table import ROUTES
from api.settings import Settings

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
TEXT = {page.relative_to(ROOT): page.read_text() for page in PAGES}
EVERYTHING = "\n".join(TEXT.values())
COMMANDS = (ROOT / "docs" / "commands.md").read_text()


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words."""
    if isinstance(command, click.Group):
        for name, sub in command.commands.items():
            yield from walk(sub, (*path, name))
    else:
        yield " ".join(path), command


LEAVES = dict(walk(cli))


def section(words: str) -> str:
    """What docs/commands.md says of a command: from its bold name to the next one's paragraph."""
    start = COMMANDS.index(f"**`seawall {words}")
    rest = COMMANDS[start + 3 :]
    return rest.split("\n\n**`seawall")[0]


@pytest.mark.parametrize("words", LEAVES)
def test_every_command_and_option_is_documented(words: str) -> None:
    told = section(words)
    for parameter in LEAVES[words].params:
        if not isinstance(parameter, click.Option) or parameter.name == "as_json":
            continue  # --json is told once, for all
        assert max(parameter.opts, key=len) in told, (words, parameter.opts)


@pytest.mark.parametrize("page", ["README.md", "docs/commands.md"])
def test_where_make_puts_the_command_is_told(page: str) -> None:
    """Before the first line that types it."""
    told, _, typed = (ROOT / page).read_text().partition("source .venv/bin/activate")
    assert "`make install`" in told
    assert not re.search(r"^(    |\*\*`)seawall ", told, re.MULTILINE)
    assert re.search(r"^(    |\*\*`)seawall ", typed, re.MULTILINE)


def test_every_command_takes_json() -> None:
    without = {
        words for words, c in LEAVES.items() if not any("--json" in p.opts for p in c.params)
    }
    assert without == {"reference export"}  # a vPDQ list has its own form


def test_commands_that_the_pages_name_exist() -> None:
    groups = {words.split(" ")[0] for words in LEAVES}
    named = re.findall(r"\bseawall ((?:[a-z]+(?:-[a-z]+)* ?){1,2})", code_of(EVERYTHING))
    assert named
    for words in named:
        first, *rest = words.split()
        assert first in groups, words
        if first not in LEAVES:
            assert rest, words
            assert f"{first} {rest[0]}" in LEAVES, words


def code_of(text: str) -> str:
    """What stands in back quotes or is indented: what a reader would type."""
    quoted = re.findall(r"`+([^`]+)`+", text)
    indented = re.findall(r"^    (?:\$ )?(.*)$", text, re.MULTILINE)
    lines = [*(" ".join(q.split()) for q in quoted), *indented]
    return "\n".join(
        line for line in lines if re.match(r"(?:[A-Z_]+=\S* )*(?:\S*/)?seawall ", line)
    )


def test_every_setting_is_documented_and_no_other() -> None:
    source = (ROOT / "api" / "settings.py").read_text()
    read = set(re.findall(r'"(SEAWALL_[A-Z_]+)"', source))
    either = {"SEAWALL_MILVUS_TOKEN_FILE"}  # another way to set a field
    assert len(read - either) == len(dataclasses.fields(Settings))
    operator = (ROOT / "docs" / "operator.md").read_text()
    rows = set(re.findall(r"^\| `(SEAWALL_[A-Z_]+)`", operator, re.MULTILINE))
    assert rows == read
    beside = {"SEAWALL_SYNC_KEY"}
    assert set(re.findall(r"SEAWALL_[A-Z_]+[A-Z]", EVERYTHING)) <= read | beside


def test_the_defaults_that_are_told_are_the_defaults() -> None:
    operator = (ROOT / "docs" / "operator.md").read_text()
    defaults = Settings.from_env({"SEAWALL_DATA_DIR": "/nowhere"})
    kept = ("retention_days", "keep_verdicts_days", "keep_jobs_days", "keep_audit_days")
    for name in (*kept, "max_upload_mb", "max_pixels", "decode_memory_mb"):
        told = re.search(rf"`SEAWALL_{name.upper()}` \| (\d+) \|", operator)
        assert told is not None, name
        assert int(told[1]) == getattr(defaults, name)
    assert f"`{defaults.rate_limit}`" in operator
    assert f"| {defaults.classifier_timeout_s} |" in operator
    assert f"| {defaults.decode_seconds:.0f} |" in operator


def test_every_route_is_documented() -> None:
    for route in ROUTES:
        assert f"`{route.method} {route.path}`" in EVERYTHING, route.path


def test_routes_that_the_pages_name_exist() -> None:
    known = {(r.method, r.path) for r in ROUTES}
    named = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^\s`?]*)", EVERYTHING)
    assert named
    assert set(named) <= known


@pytest.mark.parametrize("page", TEXT, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT[page]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text()), target


def anchors(text: str) -> set[str]:
    """The anchors of a page: its headings', as they are shown on the web, and those set by hand."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


def test_make_targets_that_the_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", EVERYTHING, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets
