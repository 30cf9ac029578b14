"""The child's cage: limits of the kernel, Landlock, seccomp.

Standard library only. Linux has all three; where the kernel lacks one, and on other systems, what
there is is used, and `apply` says what holds. Once applied, nothing can be taken back.

Sources: seccomp(2), landlock(7), setrlimit(2), <linux/filter.h>, <linux/landlock.h>.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import random
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matcher import syscalls
from matcher.syscalls import Numbers

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_DUMPABLE = 4
_SECCOMP = (317, 277)
_SCHED_SETATTR = (314, 274)
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_ADD_RULE = 445
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_RULE_PATH_BENEATH = 1
_PROT_EXEC = 4
_SESSION_TRIES = 20
_FCNTL_HARMLESS = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_GETFD to F_SETFL, F_DUPFD_CLOEXEC


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds: `landlock` is the kernel's ABI version, 0 where there is none; `limits` names
    the resource limits that could be set."""

    seccomp: bool
    landlock: int
    limits: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "limits": list(self.limits)}


@dataclass(frozen=True, slots=True)
class Programs:
    """What a child may reach that must run other programs: `readable` and `runnable` files and
    folders, and one folder that it may write in."""

    readable: tuple[str, ...]
    runnable: tuple[str, ...]
    writable: str


# --- resource limits ---------------------------------------------------------------------------


def limit_resources(*, memory: int, file_size: int, open_files: int) -> tuple[str, ...]:
    """Bytes of address space, bytes of any file that is written, how many may be open; no core
    dumps. The names of the limits that were set: macOS knows no limit of address space."""
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_AS": memory,
        "RLIMIT_FSIZE": file_size,
        "RLIMIT_NOFILE": open_files,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    return tuple(name for name, value in wanted.items() if _limit(name, value))


def limit_processes() -> tuple[str, ...]:
    """No further process or thread (root is exempt from it: seccomp sees to that)."""
    return ("RLIMIT_NPROC",) if _limit("RLIMIT_NPROC", 0) else ()


def limit_cpu(seconds: int) -> tuple[str, ...]:
    """CPU seconds of this process from its start: SIGXCPU at the limit, SIGKILL 2 s later."""
    return ("RLIMIT_CPU",) if _limit("RLIMIT_CPU", seconds, seconds + 2) else ()


def stand_behind(nice: int, slice_s: float) -> None:
    """Let others go first: `nice` more of nice(2), and of the CPU so many seconds at a time, where
    the kernel listens (Linux from 6.12 on). A task with a long slice gives way to one that wakes.
    Threads and forked children do as this one, as long as they stay in its session: where Linux
    groups tasks by session (autogroup), nice(2) counts within a session only, and sessions are as
    nice as is said of them.

    There the session keeps its share by that, and its tasks are idle ones (SCHED_IDLE) among
    themselves: a task that wakes is put on a CPU that has only such to run, as if it had none
    (`select_idle_sibling`), instead of behind another that is being answered. Elsewhere idle tasks
    would get next to nothing as long as anything else runs."""
    os.nice(nice)
    if not (_make_session_nice(nice) and _grouped_by_session() and _become_idle()):
        run_at_a_time(slice_s)


def _become_idle() -> bool:
    """Whether this is an idle task now. Who was given another policy of the kernel's keeps it."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        return False
    return True


def _grouped_by_session(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> bool:
    """Whether sessions share the CPU: autogroup is on, and no CPU controller of cgroups has charge
    of this process. The root's cgroup has no `cpu.weight`; one that a container takes for the root
    has."""
    try:
        groups = (proc / "self/cgroup").read_text().splitlines()
        on = (proc / "sys/kernel/sched_autogroup_enabled").read_text().strip() == "1"
    except OSError:
        return False
    for line in groups:
        _, controllers, path = line.split(":", 2)
        folder = cgroups / path.lstrip("/")
        if controllers:  # of version 1
            on &= "cpu" not in controllers.split(",") or path == "/"
        else:
            on &= not any((f / "cpu.weight").exists() for f in (folder, *folder.parents))
    return on


def run_at_a_time(slice_s: float) -> None:
    """So many seconds of the CPU at a time for this thread and those that it starts, where the
    kernel listens. How much of it they get in all stays the same. Who was given another policy of
    the kernel's keeps it."""
    known = syscalls.ARCHITECTURES.get(platform.machine())
    if known is None or not sys.platform.startswith("linux"):
        return
    if os.sched_getscheduler(0) == os.SCHED_OTHER:
        # struct sched_attr of <linux/sched/types.h>: for SCHED_OTHER, the runtime is the slice.
        size, other = 48, os.SCHED_OTHER
        wanted = struct.pack("=IIQiIQQQ", size, other, 0, os.nice(0), 0, round(slice_s * 1e9), 0, 0)
        _syscall(_SCHED_SETATTR[known[0]], 0, wanted, 0)


def _make_session_nice(nice: int) -> bool:
    """That of a process which leads its session; whether it is so now. Kernels without autogroup
    have no such file; others let one change in a tenth of a second through, for the whole
    machine."""
    for _ in range(_SESSION_TRIES if os.getsid(0) == os.getpid() else 0):
        try:
            with open("/proc/self/autogroup", "w") as file:
                file.write(str(nice))
        except BlockingIOError:
            time.sleep(0.1 * (1 + random.random()))
        except OSError:
            return False
        else:
            return True
    return False


def _limit(name: str, soft: int, hard: int | None = None) -> bool:
    number = getattr(resource, name, None)
    if number is None:
        return False
    try:
        resource.setrlimit(number, (soft, soft if hard is None else hard))
    except (ValueError, OSError):
        return False
    return True


# --- Landlock ----------------------------------------------------------------------------------

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
# Rights to files that each ABI version added (bit numbers); all are denied unless a rule allows.
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_RIGHTS = 0b11  # TCP bind and connect, ABI 4
_SCOPES = 0b11  # abstract unix sockets and signals to others, ABI 6
_DIR_ONLY = ~0b1_1000_0000_0000_0111 & 0xFFFF  # rights that a rule on a plain file may not name


def landlock_abi() -> int:
    """The kernel's Landlock ABI version; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, _syscall(_LANDLOCK_CREATE_RULESET, None, 0, 1))


def restrict_files(allowed: Programs | None = None) -> int:
    """Deny every file and TCP port but what is `allowed`; the ABI version, or 0 where it failed."""
    abi = landlock_abi()
    if not abi or not _no_new_privileges():
        return 0
    handled = (1 << _FS_BITS[min(abi, 5)]) - 1
    attributes = struct.pack(
        "=QQQ", handled, _NET_RIGHTS if abi >= 4 else 0, _SCOPES if abi >= 6 else 0
    )
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _syscall(_LANDLOCK_CREATE_RULESET, attributes, size, 0)
    if ruleset < 0:
        return 0
    try:
        if allowed is not None:
            _allow(ruleset, allowed.readable, handled & (_READ_FILE | _READ_DIR))
            _allow(ruleset, allowed.runnable, handled & (_READ_FILE | _READ_DIR | _EXECUTE))
            _allow(ruleset, (allowed.writable,), handled & ~_EXECUTE)
        return abi if _syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, paths: Sequence[str], rights: int) -> None:
    for path in paths:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            granted = rights if os.path.isdir(path) else rights & ~_DIR_ONLY
            rule = struct.pack("=Qi", granted, place)
            _syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        finally:
            os.close(place)


# --- seccomp -----------------------------------------------------------------------------------

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW = 0x7FFF0000
_X32 = 0x40000000
_NUMBER, _ARCH = 0, 4

Step = tuple[int, int, int, int]


def _argument(position: int) -> int:
    """Where the lower half of an argument lies (both architectures are little-endian)."""
    return 16 + 8 * position


def _fail(code: int) -> Step:
    return (_RETURN, 0, 0, 0x00050000 | code)


_PASS: Step = (_RETURN, 0, 0, _ALLOW)
_DENY = _fail(errno.EPERM)


def _one_of(number: int, position: int, values: Sequence[int], verdict: Step) -> list[Step]:
    """`verdict` where the argument is one of the values, else denied."""
    tests = [(_JUMP_EQUAL, len(values) - i, 0, v) for i, v in enumerate(values)]
    body = [(_LOAD, 0, 0, _argument(position)), *tests, _DENY, verdict]
    return [(_JUMP_EQUAL, 0, len(body), number), *body]


def _bits(number: int, position: int, mask: int, wanted: int) -> list[Step]:
    """Allowed where the argument's bits under the mask are as wanted, else denied."""
    body = [
        (_LOAD, 0, 0, _argument(position)),
        (_AND, 0, 0, mask),
        (_JUMP_EQUAL, 0, 1, wanted),
        _PASS,
        _DENY,
    ]
    return [(_JUMP_EQUAL, 0, len(body), number), *body]


def _always(number: int, verdict: Step) -> list[Step]:
    return [(_JUMP_EQUAL, 0, 1, number), verdict]


def _numbers(table: Iterable[Numbers], column: int) -> list[int]:
    return [pair[column] for pair in table if pair[column] is not None]  # type: ignore[misc]


def _program(arch: int, column: int, rules: list[Step], otherwise: Step) -> list[Step]:
    steps: list[Step] = [(_LOAD, 0, 0, _ARCH), (_JUMP_EQUAL, 1, 0, arch), _DENY]
    steps.append((_LOAD, 0, 0, _NUMBER))
    if column == 0:
        steps += [(_JUMP_AT_LEAST, 0, 1, _X32), _DENY]
    return [*steps, *rules, otherwise]


def _decode_rules(column: int) -> list[Step]:
    """What decoding and hashing need, and nothing else."""

    def number(pair: Numbers) -> int:
        found = pair[column]
        assert found is not None
        return found

    rules: list[Step] = []
    for allowed in _numbers(syscalls.DECODE.values(), column):
        rules += _always(allowed, _PASS)
    rules += _bits(number(syscalls.MMAP), 2, _PROT_EXEC, 0)
    rules += _bits(number(syscalls.MPROTECT), 2, _PROT_EXEC, 0)
    rules += _one_of(number(syscalls.TGKILL), 0, (os.getpid(),), _PASS)
    rules += _one_of(number(syscalls.PRLIMIT64), 0, (0, os.getpid()), _PASS)
    rules += _one_of(number(syscalls.FCNTL), 1, _FCNTL_HARMLESS, _PASS)
    rules += _always(number(syscalls.IOCTL), _fail(errno.ENOTTY))
    return rules


def _program_rules(column: int) -> list[Step]:
    rules: list[Step] = []
    for denied in _numbers(syscalls.DENIED_TO_PROGRAMS.values(), column):
        rules += _always(denied, _DENY)
    return rules


def restrict_calls(*, programs: bool = False) -> bool:
    """Install the filter: for decoding an allow-list; for `programs` that run others a list of
    what is denied. Denied calls fail with EPERM. False where the kernel has no seccomp."""
    known = syscalls.ARCHITECTURES.get(platform.machine())
    if not sys.platform.startswith("linux") or known is None or sys.byteorder != "little":
        return False
    column, arch = known
    rules = _program_rules(column) if programs else _decode_rules(column)
    steps = _program(arch, column, rules, _PASS if programs else _DENY)
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("@HP", len(steps), ctypes.addressof(buffer))
    if not _no_new_privileges():
        return False
    flags = _SECCOMP_FILTER_FLAG_TSYNC
    return _syscall(_SECCOMP[column], _SECCOMP_SET_MODE_FILTER, flags, head) == 0


# --- all of it ---------------------------------------------------------------------------------


def apply(
    *, memory: int, open_files: int = 64, start: Callable[[], None] = lambda: None
) -> InForce:
    """The cage of a child that decodes: no files, no network, no further process or thread.

    `memory` in bytes of address space. Whatever is needed must be imported, open and running
    already, but for the thread that `start` starts: Landlock binds a thread and those that it
    starts, so that this one comes after it.
    """
    limits = limit_resources(memory=memory, file_size=0, open_files=open_files)
    undumpable()
    landlock = restrict_files()
    start()
    limits += limit_processes()
    return InForce(restrict_calls(), landlock, limits)


def apply_for_programs(
    allowed: Programs, *, memory: int, file_size: int, open_files: int = 256
) -> InForce:
    """The cage of a child that runs ffmpeg: it may read, run and write what is allowed, only."""
    limits = limit_resources(memory=memory, file_size=file_size, open_files=open_files)
    undumpable()
    landlock = restrict_files(allowed)
    return InForce(restrict_calls(programs=True), landlock, limits)


def _syscall(number: int, *arguments: object) -> int:
    """The call's result, -1 where it failed."""
    library = ctypes.CDLL(None, use_errno=True)
    call = library.syscall
    call.restype = ctypes.c_long
    plain = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = call(ctypes.c_long(number), *plain)
    return result


def _prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    return bool(library.prctl(option, ctypes.c_ulong(value), zero, zero, zero) == 0)


def _no_new_privileges() -> bool:
    return _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def undumpable() -> None:
    """Other processes of the same user may not look into this one."""
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    """The kernel kills this process when the thread that forked it ends (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
