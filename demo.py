"""`make demo`: a confirmed video, an edited copy of it, and the verdict over HTTP.

Everything is real: the commands that an operator types, the service as it is run in production,
and a copy that was encoded again. The data lie in a temporary folder, which is removed at the end.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.edits import Edit, make

ROOT = Path(__file__).parent
MEDIA = ROOT / "tests" / "media"
CONFIRMED = MEDIA / "o597_bbb.mp4"
UNRELATED = MEDIA / "o084_oa4_launch.webm"
BANK = "demo-attacks"
START_S = 60.0
PICTURE = ROOT / "build" / "demo-verdict.svg"
COPY = Edit(
    "mirrored, darker, letterboxed, smaller, cut, and put into another film",
    "hflip,hue=s=0.6:b=-0.6,scale=480:-2,pad=480:360:0:(oh-ih)/2:black",
    start=3.37,
    seconds=11.3,
    splice=3.0,
    options={"crf": "33", "preset": "veryfast"},
)
COLOURS = {"block": "1;31", "review": "1;33", "allow": "1;32", "step": "1;36", "dim": "2"}


def paint(style: str, text: str) -> str:
    """Coloured, where standard output is a terminal that wants colours."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{COLOURS[style]}m{text}\x1b[0m"


def say(text: str = "") -> None:
    print(text, flush=True)


def step(number: int, text: str) -> None:
    say(f"\n{paint('step', f'{number}. {text}')}")


def seawall(environment: Mapping[str, str], *arguments: str) -> str:
    """Runs one `seawall` command as a person would, and returns what it printed."""
    say(paint("dim", f"   $ seawall {shlex.join(arguments)}"))
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", *arguments],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def free_port(wanted: int = 8080) -> int:
    """8080, or any other where that is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("no port is free on 127.0.0.1")


@contextmanager
def service(environment: Mapping[str, str], port: int) -> Iterator[str]:
    """`seawall serve` on that port, ready to answer; stopped at the end, however that comes."""
    say(paint("dim", f"   $ seawall serve --port {port}"))
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "serve", "--port", str(port)],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + START_S
        while not answers(f"{url}/readyz"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the service did not start; its words are above")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def ask(url: str, key: str, media: Path) -> dict[str, Any]:
    """`POST /match`, printed as the curl line that does the same."""
    say(paint("dim", f'   $ curl -H "Authorization: Bearer $KEY" -F media=@{media} {url}/match'))
    with media.open("rb") as file:
        answer = httpx.post(
            f"{url}/match",
            headers={"Authorization": f"Bearer {key}"},
            files={"media": (media.name, file)},
            timeout=120,
        )
    answer.raise_for_status()
    verdict: dict[str, Any] = answer.json()
    return verdict


def draw(url: str, key: str, upload_id: str) -> None:
    """Keeps the verdict's picture where the demo's folder does not take it away."""
    answer = httpx.get(f"{url}/timelines/{upload_id}", headers={"Authorization": f"Bearer {key}"})
    answer.raise_for_status()
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(answer.text)
    say(f"   as a picture: {PICTURE}")


def show(verdict: Mapping[str, Any]) -> None:
    """The answer, cut down to what says why."""
    action = verdict["action"]
    say(f"\n   {paint(action, action.upper())}  {verdict['reason']['text']}")
    for match in verdict["matches"]:
        say(f"   bank {match['bank']}, {match['reference_id']}, score {match['score']:.2f}")
        for pair in match["segments"]:
            query, reference = pair["query"], pair["reference"]
            say(
                f"     the upload's {query['start']:6.2f} s to {query['end']:6.2f} s  shows  "
                f"the reference's {reference['start']:6.2f} s to {reference['end']:6.2f} s"
            )
    coverage = verdict["coverage"]
    say(
        paint(
            "dim",
            f"   looked at {coverage['judged_s']:.1f} of {coverage['total_s']:.1f} s, "
            f"in {verdict['timings_ms']['total'] / 1000:.2f} s",
        )
    )


def expect(verdict: Mapping[str, Any], action: str) -> None:
    if verdict["action"] != action:
        say(json.dumps(verdict, indent=2))
        sys.exit(f"demo: this should have been {action}")


def run(folder: Path) -> None:
    # Nothing of an operator's own settings: the demo must touch no real data.
    environment = {n: v for n, v in os.environ.items() if not n.startswith("SEAWALL_")}
    environment["SEAWALL_DATA_DIR"] = str(folder / "seawall-data")
    environment["SEAWALL_LOG_LEVEL"] = "WARNING"

    step(1, "A bank for confirmed footage, and a video in it")
    seawall(environment, "bank", "create", BANK, "--action", "block")
    say("   " + seawall(environment, "reference", "add", "--bank", BANK, str(CONFIRMED)))

    step(2, "Somebody edits it: " + COPY.name)
    copy = folder / "copy.mp4"
    make(COPY, CONFIRMED, copy, UNRELATED)
    before, after = CONFIRMED.stat().st_size // 1000, copy.stat().st_size // 1000
    say(f"   {CONFIRMED.name}, {before} kB  ->  {copy.name}, {after} kB; no byte is the same")

    step(3, "The service, and a key for the upload pipeline")
    key = seawall(environment, "key", "create", "--role", "pipeline", "--name", "demo")
    with service(environment, free_port()) as url:
        step(4, "The copy is uploaded")
        verdict = ask(url, key, copy)
        show(verdict)
        expect(verdict, "block")
        draw(url, key, verdict["upload_id"])

        step(5, "A video that nobody has banned is uploaded")
        verdict = ask(url, key, UNRELATED)
        show(verdict)
        expect(verdict, "allow")
        wait(url, key)


def wait(url: str, key: str) -> None:
    """Keeps serving while somebody sits at a terminal."""
    say(f"\n   The API's pages, while it serves: {url}/docs")
    if not sys.stdin.isatty():
        return
    say(f"   Try your own:    export KEY={key}")
    say(f'                    curl -H "Authorization: Bearer $KEY" -F media=@FILE {url}/match')
    say("\n   Serving until you press Ctrl-C ...")
    signal.pause()


def stop(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    # SIGINT too: a shell that starts this in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="seawall-demo-") as folder:
            run(Path(folder))
    except KeyboardInterrupt:
        say("\n   Stopped.")
        return
    say(f"\n   Done in {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
