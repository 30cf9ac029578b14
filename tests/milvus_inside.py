"""Milvus in namespaces of its own: it listens on all interfaces, whatever it is told.

`python milvus_inside.py FOLDER FD SETTINGS`, the last as JSON. FD is a socket that listens on the
loopback outside. A socket stays in the network that it was made in, so what connects to it is
passed on to the server inside, and nothing else reaches that. Says "up" when the server answers;
ends with its standard input.

The server is the one in the package `milvus`: a real standalone Milvus, with all that it needs
beside it in one process.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000  # linux/sched.h
MS_REC, MS_PRIVATE = 0x4000, 0x40000  # linux/mount.h
SIOCSIFFLAGS, UP = 0x8914, 0x1 | 0x40  # linux/sockios.h, linux/if.h: up and running
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def leave() -> None:
    """Into namespaces of its own: a network with a loopback and nothing else, and a `/run`, where
    the server wants to write whoever it is. `OSError` where the kernel refuses."""
    user, group = os.getuid(), os.getgid()
    if LIBC.unshare(NEWNET | NEWNS) != 0:  # only root may do that as it is
        done(LIBC.unshare(NEWUSER | NEWNET | NEWNS))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP))
    done(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    done(LIBC.mount(b"tmpfs", b"/run", b"tmpfs", 0, b"mode=1777"))


def done(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "no namespace of its own can be made here")


def start(folder: Path, settings: dict[str, Any]) -> tuple[subprocess.Popen[bytes], int, int]:
    """The server's process, its port and that of its health."""
    import milvus

    config = milvus.MilvusServerConfig(data_dir=str(folder))
    for name, value in settings.items():
        config.set(name, value)
    config.resolve()
    milvus._initialize_data_files(str(folder))
    libraries = folder / "bin"
    health, held = config.resolve_port(9091)
    held.close()
    environment = {
        **os.environ,
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(health),
        "LD_LIBRARY_PATH": str(libraries),
    }
    with (folder / "logs" / "out.log").open("wb") as log:
        process = subprocess.Popen(
            [libraries / "milvus", "run", "standalone"],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )
    return process, config.get("proxy_port"), health


async def until_up(process: subprocess.Popen[bytes], health: int) -> None:
    url = f"http://127.0.0.1:{health}/healthz"

    def well() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return b"OK" in answer.read()
        except OSError:
            return False

    while not await asyncio.to_thread(well):
        if process.poll() is not None:
            raise SystemExit(f"Milvus ended with {process.returncode}: see logs/out.log")
        await asyncio.sleep(0.1)


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


async def serve(folder: Path, listener: socket.socket, settings: dict[str, Any]) -> None:
    process, port, health = start(folder, settings)

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(source, inner[1]), copy(inner[0], sink))

    try:
        await until_up(process, health)
        await asyncio.start_server(pass_on, sock=listener)
        print("up", process.pid, flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        process.kill()
        process.wait()
    os._exit(0)  # with connections open


if __name__ == "__main__":
    try:
        leave()
    except OSError as error:
        sys.exit(str(error))
    given = socket.socket(fileno=int(sys.argv[2]))
    asyncio.run(serve(Path(sys.argv[1]), given, json.loads(sys.argv[3])))
