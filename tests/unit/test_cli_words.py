"""What the command line says and how it walks files, without a database."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli import exit_code, run
from api.commands import files, output
from hashdb import errors
from hashdb.errors import BadMedia, SeawallError
from tests.unprivileged import unprivileged


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00.0"),
        (75.25, "1:15.2"),
        (59.97, "0:59.9"),
        (3675, "1:01:15.0"),
        (-1, "0:00.0"),
        (0.3, "0:00.3"),
    ],
)
def test_times_are_shown_as_players_show_them(seconds: float, shown: str) -> None:
    assert output.clock(seconds) == shown


def test_exit_codes_tell_scripts_what_happened() -> None:
    assert exit_code(errors.NotFound()) == 1
    assert exit_code(errors.NameTaken()) == 1
    assert exit_code(errors.BadArgument()) == 2
    assert exit_code(errors.BadSetting()) == 2
    assert exit_code(errors.NotUpgraded()) == 3
    assert exit_code(errors.DatabaseUnavailable()) == 3
    assert exit_code(errors.PartnerUnavailable()) == 3


@pytest.mark.parametrize(
    "arguments", [["fly"], ["bank", "create"], ["serve", "--port", "99999"], ["match"]]
)
def test_a_mistyped_command_is_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("match", "PATH"),
        ("hash", "PATH"),
        ("reference add --bank b", "PATH"),
        ("backfill", "URL"),
        ("index publish", "URL"),
        ("sync pull --bank b", "URL"),
    ],
)
def test_an_empty_argument_is_refused(
    words: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words.split(), ""]) == 2
    assert capsys.readouterr().err == f"seawall: error: {name} is empty\n"


@pytest.mark.parametrize("wrong", ["a b", "/x", "a\nb", "x" * 5000, "", "a\udcffb"])
def test_an_upload_id_is_what_the_api_takes(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["match", "--upload-id", wrong, "a.mp4"]) == 2
    assert capsys.readouterr().err.startswith("seawall: error: --upload-id: ")


@pytest.mark.parametrize("wrong", ["", "x" * 5000, "a\nb"])
def test_a_label_is_what_the_api_takes(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bank", "create", "b", "--label", wrong]) == 2
    assert capsys.readouterr().err.startswith("seawall: error: --label: ")


@pytest.mark.parametrize("wrong", ["x" * 5000, "a\nb"])
def test_a_source_is_what_the_api_takes(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reference", "add", "--bank", "b", "--source", wrong, "a.mp4"]) == 2
    assert capsys.readouterr().err.startswith("seawall: error: --source: ")


@pytest.mark.parametrize("wrong", ["nan", "inf", "-1", "0"])
def test_a_rate_is_a_number_above_0(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backfill", ".", f"--rate={wrong}"]) == 2
    assert "--rate: a number of objects a second above 0" in capsys.readouterr().err


def test_help_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "reference" in capsys.readouterr().out


def test_folders_are_walked_in_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2.mp4", "b/1.mp4", "a/x.txt", ".git/config", "a/.DS_Store", "z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    found = [str(Path(f).relative_to(tmp_path)) for f in files.find([str(tmp_path)])]
    assert found == ["z", "a/x.txt", "b/1.mp4", "b/2.mp4"]


def test_a_folder_with_nothing_in_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "within").mkdir()
    (tmp_path / ".hidden").touch()
    assert list(files.find([str(tmp_path)])) == []
    assert f"{tmp_path}: there is nothing in it" in capsys.readouterr().err


def test_what_cannot_be_read_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "folder" / "shut").mkdir(parents=True)
    (tmp_path / "folder" / "shut" / "a").touch()
    (tmp_path / "folder" / "good").touch()
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    (tmp_path / "folder" / "torn").symlink_to("nothing")
    os.mkfifo(tmp_path / "folder" / "pipe")
    (tmp_path / "folder" / "shut").chmod(0)
    with unprivileged():
        found = [*files.find([str(tmp_path / "folder")]), str(tmp_path / "folder" / "shut" / "a")]
        told = {d.file.rpartition("/")[2]: d.error for d in files.each(found, str, at_once=1)}
    (tmp_path / "folder" / "shut").chmod(0o700)
    assert told.pop("good") is None
    assert {name: (type(e), str(e).partition(",")[0]) for name, e in told.items()} == {
        "link": (errors.BadArgument, "a link to a folder"),
        "pipe": (errors.BadArgument, "not a regular file"),
        "torn": (errors.NotFound, "there is no such file"),
        "shut": (errors.BadArgument, "Permission denied"),
        "a": (errors.BadArgument, "Permission denied"),
    }


def test_named_paths_stay_as_they_were_named(tmp_path: Path) -> None:
    hidden = tmp_path / ".hidden.mp4"
    hidden.touch()
    assert list(files.find([str(hidden), "not/there.mp4"])) == [str(hidden), "not/there.mp4"]


@pytest.fixture
def some(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{n:02d}" for n in range(20)]
    for path in paths:
        path.write_text(path.name)
    return [str(p) for p in paths]


def test_results_come_in_the_files_order(some: list[str]) -> None:
    def slow_first(file: str) -> str:
        time.sleep(0.05 if file == some[0] else 0)
        return Path(file).read_text()

    done = list(files.each(some, slow_first, at_once=4))
    assert [d.result for d in done] == [f"{n:02d}" for n in range(20)]


def test_works_on_so_many_at_once_and_no_more(some: list[str]) -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def count(_: str) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.01)
        with lock:
            inside -= 1

    list(files.each(some, count, at_once=3))
    assert most == 3


def test_does_not_run_ahead_of_who_reads_the_results(some: list[str]) -> None:
    begun: list[str] = []
    results = files.each(some, begun.append, at_once=2)
    next(results)
    time.sleep(0.1)
    assert len(begun) <= 5
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 6


def test_one_files_failure_ends_that_file_only(some: list[str], tmp_path: Path) -> None:
    def fail_some(file: str) -> str:
        if file == some[1]:
            raise BadMedia("too odd")
        if file == some[2]:
            raise PermissionError(13, "Permission denied")
        if file == some[3]:
            raise ZeroDivisionError
        return "good"

    done = list(files.each([*some, str(tmp_path), "gone"], fail_some, at_once=2))
    told = [type(d.error).__name__ if d.error else d.result for d in done]
    assert told[:4] == ["good", "BadMedia", "BadArgument", "ZeroDivisionError"]
    assert set(told[4:20]) == {"good"}
    assert told[20:] == ["BadArgument", "NotFound"]


def test_a_problem_is_an_rfc_9457_object_in_the_errors_words() -> None:
    body = output.problem(errors.NotUpgraded("run `seawall db upgrade`"))
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["detail"] == "run `seawall db upgrade`"
    assert "ZeroDivisionError" not in str(output.problem(ZeroDivisionError("secret")))


def all_errors(of: type[SeawallError] = SeawallError) -> Iterator[type[SeawallError]]:
    yield of
    for sub in of.__subclasses__():
        yield from all_errors(sub)


ERRORS = [e for e in set(all_errors()) if e.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", sorted(ERRORS, key=lambda k: k.__name__))
def test_every_error_has_words(
    kind: type[SeawallError], capsys: pytest.CaptureFixture[str]
) -> None:
    output.error(kind(), as_json=False)
    assert capsys.readouterr().err.removeprefix("seawall: error: ").strip()
