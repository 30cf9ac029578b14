"""The files in deploy/: linted as far as that goes without a container engine, and what they name
(commands, options, settings, routes) exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from api.cli import cli
from api.routes.health import ROUTES
from api.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
COMPOSE = (DEPLOY / "compose.yaml").read_text()
KUBERNETES = (DEPLOY / "kubernetes.yaml").read_text()
VERSION = "1.34"
SETTINGS = set(
    re.findall(r'"(SEAWALL_[A-Z_]+)"', (DEPLOY.parent / "api" / "settings.py").read_text())
)


def hadolint(text: str) -> str:
    """What hadolint minds."""
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [str(program), "--no-color", "-"], input=text, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout


def objects() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(KUBERNETES))


def containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every container of the manifest, with its pod."""
    for each in objects():
        pod = each.get("spec", {}).get("template", {}).get("spec")
        for container in (pod or {}).get("containers", ()):
            yield pod, container


def services() -> dict[str, dict[str, Any]]:
    """Seawall's own in the compose file."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
    return {name: s for name, s in found.items() if s["image"] == "seawall"}


def test_the_container_file_is_sound() -> None:
    assert hadolint(CONTAINERFILE) == ""
    assert "DL3006" in hadolint(CONTAINERFILE.replace("python:3.11-slim", "python"))


def test_the_container_runs_as_nobody_special_with_nothing_to_build_with() -> None:
    stages = re.split(r"^FROM ", CONTAINERFILE, flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    assert re.findall(r"^USER (\S+)$", stages[1], re.MULTILINE) == ["10001:10001"]
    assert "pip" not in stages[1].split("COPY")[1]
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE):
        for path in source.split():
            assert (DEPLOY.parent / path).exists(), path


def read_compose(text: str) -> None:
    """By the Compose Specification; what it does not know is an error. Its parser knows no `<<`,
    which is YAML's own."""
    PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text)))


def test_the_compose_file_is_one() -> None:
    read_compose(COMPOSE)


@pytest.mark.parametrize(("right", "wrong"), [("ports:", "porst:"), ("service_healthy", "healthy")])
def test_a_slip_in_the_compose_file_is_noticed(right: str, wrong: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_compose(COMPOSE.replace(right, wrong))


@pytest.mark.parametrize("number", range(len(objects())))
def test_the_manifest_is_what_kubernetes_reads(number: int) -> None:
    kubernetes_validate.validate(objects()[number], VERSION, strict=True)


def test_a_slip_in_the_manifest_is_noticed() -> None:
    slipped = yaml.safe_load_all(KUBERNETES.replace("periodSeconds", "perodSeconds"))
    (api,) = [o for o in slipped if o["metadata"]["name"] == "seawall-api" and "strategy" in str(o)]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(api, VERSION, strict=True)


def test_nothing_has_more_rights_than_it_needs() -> None:
    for pod, container in containers():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert {m["mountPath"] for m in container["volumeMounts"]} == {"/data", "/tmp"}
    for service in services().values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp"]


def parsed(words: Sequence[str]) -> dict[str, Any]:
    """A command of `seawall` with its options, as it would be run; fails where it is mistyped."""
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group):
        command = command.commands[rest.pop(0)]
    with command.make_context(command.name, rest, resilient_parsing=False) as context:
        return dict(context.params)


def commands() -> list[list[str]]:
    found = [list(c["args"]) for _, c in containers()]
    found += [list(s["command"]) for s in services().values()]
    found += [shlex.split(w) for w in re.findall(r"\bseawall (key .+)$", COMPOSE, re.MULTILINE)]
    image = re.search(r"^CMD (\[.+\])$", CONTAINERFILE, re.MULTILINE)
    assert image is not None
    return [*found, yaml.safe_load(image[1])]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_the_commands_exist(words: list[str]) -> None:
    parsed(words)


def test_the_settings_exist() -> None:
    for text in (CONTAINERFILE, COMPOSE, KUBERNETES):
        assert set(re.findall(r"SEAWALL_[A-Z_]+[A-Z]", text)) <= SETTINGS
    config = next(o for o in objects() if o["kind"] == "ConfigMap")["data"]
    Settings.from_env(config)
    for service in services().values():
        Settings.from_env(service["environment"])


def test_probes_ask_for_what_is_there() -> None:
    """At the port on which the command listens, without a key."""
    open_paths = {r.path for r in ROUTES if not r.roles}
    asked = 0
    for _, container in containers():
        port = parsed(container["args"]).get("port")
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            if name not in container:
                continue
            probe = container[name]["httpGet"]
            assert probe["path"] in open_paths
            ports = {p["name"]: p["containerPort"] for p in container["ports"]}
            assert ports[probe["port"]] == port
            asked += 1
    for service in services().values():
        for found in re.findall(
            r"127\.0\.0\.1:(\d+)(/\w+)", " ".join(service.get("healthcheck", {}).get("test", ()))
        ):
            assert int(found[0]) == parsed(service["command"])["port"]
            assert found[1] in open_paths
            asked += 1
    assert asked == 7


def test_what_is_published_is_published_to_this_machine_only() -> None:
    assert services()["api"]["ports"] == ["127.0.0.1:8080:8080"]
    assert "ports" not in services()["worker"]
