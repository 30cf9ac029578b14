"""A small FTP server for tests, on the loopback only: read-only, one user, over a folder."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD = "guest", "not-to-be-seen"


class _Session(socketserver.StreamRequestHandler):
    """One connection. Folders named `shut` may not be listed."""

    root: Path
    rest = 0

    def handle(self) -> None:
        self.say("220 ready")
        for line in self.rfile:
            verb, _, rest = line.decode().strip().partition(" ")
            getattr(self, f"do_{verb.lower()}", self.unknown)(rest)

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def unknown(self, rest: str) -> None:
        self.say("502 no such command")

    def do_user(self, rest: str) -> None:
        self.say("331 password")

    def do_pass(self, rest: str) -> None:
        self.say("230 welcome" if rest == PASSWORD else "530 who is that")

    def do_type(self, rest: str) -> None:
        self.say("200 as you say")

    def do_pasv(self, rest: str) -> None:
        self.waiting = socket.create_server(("127.0.0.1", 0))
        high, low = divmod(self.waiting.getsockname()[1], 256)
        self.say(f"227 here (127,0,0,1,{high},{low})")

    def do_rest(self, rest: str) -> None:
        self.rest = int(rest)
        self.say("350 from there")

    def do_retr(self, rest: str) -> None:
        data = (self.root / rest.lstrip("/")).read_bytes()[self.rest :]
        self.rest = 0
        self.send(data)

    def do_list(self, rest: str) -> None:
        self.listed(rest, "{kind}rw-r--r-- 1 me me {size} Jan 01 00:00 {name}")

    def do_mlsd(self, rest: str) -> None:
        self.listed(rest, "type={type};size={size};modify={mtime}; {name}")

    def listed(self, path: str, form: str) -> None:
        folder = self.root / path.strip("/")
        if folder.name == "shut":
            self.say("550 permission denied")
            return
        lines = [
            form.format(
                name=entry.name,
                size=entry.stat().st_size,
                mtime=entry.stat().st_mtime_ns,
                type="dir" if entry.is_dir() else "file",
                kind="d" if entry.is_dir() else "-",
            )
            for entry in os.scandir(folder)
        ]
        self.send("".join(f"{line}\r\n" for line in lines).encode())

    def send(self, data: bytes) -> None:
        with self.waiting, self.waiting.accept()[0] as other:
            self.say("150 it comes")
            other.sendall(data)
        self.say("226 done")


@contextmanager
def ftp_server(root: Path) -> Iterator[int]:
    """Its port."""
    session = type("Session", (_Session,), {"root": root})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), session) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
