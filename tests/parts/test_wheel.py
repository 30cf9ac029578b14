"""The wheel stands alone: installed into an empty environment, away from the checkout, every
command works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

from api.cli import cli
from tests.services import ROOT, Place, serving

pytestmark = pytest.mark.heavy
VIDEO = ROOT / "tests" / "media" / "o597_bbb.mp4"
UNRELATED = ROOT / "tests" / "media" / "o084_oa4_launch.webm"
NOT_SOURCE = (".*", "__pycache__", "build", "dist", "*.egg-info", "seawall-data", "tests", "bench")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves its own files beside what it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*NOT_SOURCE))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(folder / "source")], check=True)
    (built,) = folder.glob("seawall-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("away")
    venv.create(folder / "env", with_pip=True)
    pip = [str(folder / "env" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PYTHON")}
    only_wheels = ["--only-binary", ":all:"]  # no compiler is asked for
    subprocess.run([*pip, *only_wheels, str(wheel)], check=True, cwd=folder, env=environment)
    return Place(folder / "data", program=(str(folder / "env" / "bin" / "seawall"),))


def test_holds_the_packages_and_their_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {
        "api",
        "hashdb",
        "matcher",
        "migrations",
    }
    assert "matcher/policy_default.toml" in names
    assert any(n.startswith("migrations/versions/") for n in names)
    assert any(n.endswith("/licenses/LICENSE") for n in names)


def test_every_command_is_there(installed: Place) -> None:
    assert installed.run("--version").startswith("seawall, version ")
    for name in cli.commands:
        assert "Usage: seawall" in installed.run(name, "--help")


def test_works_from_the_database_to_the_verdict(installed: Place) -> None:
    installed.run("db", "upgrade")
    installed.run("bank", "create", "attacks")
    (added,) = installed.lines("reference", "add", "--bank", "attacks", str(VIDEO))
    verdicts = installed.lines("match", str(VIDEO), str(UNRELATED))
    assert [v["action"] for v in verdicts] == ["block", "allow"]
    (hashed,) = installed.lines("hash", str(UNRELATED))
    assert {f["signal_type"] for f in hashed["fingerprints"]} == {"pdq", "phash"}
    (report,) = installed.lines("index", "verify")
    assert report["ok"]
    installed.run("index", "rebuild")
    key = installed.key("admin")
    with serving(installed) as service, service.client(key) as client:
        with UNRELATED.open("rb") as media:
            answer = client.post("/match", files={"media": media})
        assert answer.json()["action"] == "allow"
        assert client.get("/openapi.json").json()["openapi"].startswith("3.1")
        page = httpx.get(f"{service.url}/docs", follow_redirects=True)
        assert page.status_code == 200
        assert "html" in page.headers["content-type"]
        assert service.stop() == 0
    installed.run("reference", "withdraw", added["reference_id"])
    (verdict,) = installed.lines("match", str(VIDEO))
    assert verdict["action"] == "allow"
    installed.run("db", "downgrade", "base", "--yes")
