"""Where decoding may take what is left of the CPU, and nothing more."""

from __future__ import annotations

from pathlib import Path

import pytest

from matcher.lockdown import _grouped_by_session


def told(root: Path, cgroup: str, autogroup: str = "1") -> bool:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/sys/kernel").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/sys/kernel/sched_autogroup_enabled").write_text(f"{autogroup}\n")
    return _grouped_by_session(root / "proc", root / "cgroup")


@pytest.mark.parametrize(
    ("cgroup", "weighed", "grouped"),
    [
        ("0::/\n", None, True),
        ("0::/system.slice/seawall.service\n", None, True),
        ("0::/system.slice/seawall.service\n", "system.slice", False),
        ("0::/system.slice/seawall.service\n", "system.slice/seawall.service", False),
        ("0::/\n", ".", False),  # a container's own root
        ("4:memory:/docker/1\n1:cpu,cpuacct:/\n0::/\n", None, True),
        ("1:cpu,cpuacct:/docker/1\n0::/\n", None, False),
        ("1:cpu:/docker/1\n", None, False),
    ],
)
def test_sessions_share_the_cpu_where_no_controller_does(
    tmp_path: Path, cgroup: str, weighed: str | None, grouped: bool
) -> None:
    if weighed is not None:
        (tmp_path / "cgroup" / weighed).mkdir(parents=True)
        (tmp_path / "cgroup" / weighed / "cpu.weight").write_text("100\n")
    assert told(tmp_path, cgroup) is grouped


def test_not_where_it_is_switched_off_or_unknown(tmp_path: Path) -> None:
    assert not told(tmp_path, "0::/\n", autogroup="0")
    (tmp_path / "proc/sys/kernel/sched_autogroup_enabled").unlink()
    assert not _grouped_by_session(tmp_path / "proc", tmp_path / "cgroup")
    assert not _grouped_by_session(tmp_path / "nowhere", tmp_path / "cgroup")
