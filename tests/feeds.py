"""A partner's HTTP feed for tests: a real server on a loopback port, giving lines page by page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "swk_" + "k" * 43


@dataclass
class Feed:
    """What the server gives: `lines` of docs/exchange.md, `page` of them at once. `break_after`:
    the connection breaks off in the middle of the line after so many lines. `answers` are given
    in place of pages while there are any: (status, headers, body)."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    page: int = 2
    break_after: int | None = None
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serving(feed: Feed) -> Iterator[str]:
    """The server's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            feed.asked.append((self.path, self.headers.get("Authorization")))
            if feed.answers:
                self._answer(*feed.answers.pop(0))
            elif self.headers.get("Authorization") != f"Bearer {KEY}":
                self._answer(401, {}, b"")
            else:
                self._page()

        def _page(self) -> None:
            since = parse_qs(urlsplit(self.path).query).get("since", [None])[0]
            known = [line.get("checkpoint") for line in feed.lines]
            if since is not None and since not in known:
                self._answer(400, {}, b'{"detail": "a checkpoint that was never given"}')
                return
            start = 0 if since is None else known.index(since) + 1
            lines = feed.lines[start : start + feed.page]
            headers = {"Content-Type": "application/jsonl"}
            if start + feed.page < len(feed.lines):
                last = lines[-1]["checkpoint"]
                headers["Link"] = f'</exchange/v1/changes?since={last}>; rel="next"'
            body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
            if feed.break_after is not None and start <= feed.break_after < start + len(lines):
                whole = [json.dumps(line).encode() + b"\n" for line in lines]
                kept = b"".join(whole[: feed.break_after - start])
                rest = whole[feed.break_after - start][:20]
                self._answer(200, headers, kept + rest, length=len(body))
            else:
                self._answer(200, headers, body)

        def _answer(
            self, status: int, headers: dict[str, str], body: bytes, length: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def add(number: int, **more: Any) -> dict[str, Any]:
    """An added image whose only PDQ code is made of its number."""
    frame = {"offset": 0.0, "hash": f"{number:064x}", "quality": 100, "span": 0.0}
    return {
        "checkpoint": str(number),
        "change": "add",
        "reference_id": f"ref_{number:032x}",
        "bank": "theirs",
        "label": None,
        "action": "block",
        "kind": "image",
        "sha256": f"{number:064x}",
        "md5": None,
        "duration_s": None,
        "added_at": "2026-11-21T10:00:00.000000Z",
        "fingerprints": [
            {
                "signal_type": "pdq",
                "pipeline": "pdq/1",
                "track": 0,
                "view": "full",
                "frames": [frame],
            }
        ],
        **more,
    }


def withdraw(number: int, of: int) -> dict[str, Any]:
    return {"checkpoint": str(number), "change": "withdraw", "reference_id": f"ref_{of:032x}"}
