"""`seawall match` and `seawall hash`: media in, an answer out, file by file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import click

from api import render, schemas
from api.commands import files, output
from api.commands.output import json_option
from api.commands.values import field, not_empty
from api.names import printable
from api.settings import Settings
from hashdb.errors import BadArgument
from hashdb.model import (
    Action,
    Digests,
    Fingerprint,
    MediaFingerprints,
    Orientation,
    Verdict,
    View,
    new_id,
)
from matcher.digest import digest_file
from matcher.ports import Sampling

CLI_KEY = "cli"
"""In place of a key's id: uploads that were judged on the command line."""
COLOURS = {Action.ALLOW: "green", Action.REVIEW: "yellow", Action.BLOCK: "red"}
FRAME_SIGNALS = ("pdq", "card", "phash")

Hashed = tuple[MediaFingerprints, Digests]

paths_argument = click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", callback=not_empty
)


@click.command()
@paths_argument
@click.option(
    "--upload-id",
    metavar="ID",
    callback=field(schemas.UploadId),
    help="The id to judge it under; for one file only.",
)
@json_option
@click.pass_context
def match(
    context: click.Context, paths: tuple[str, ...], upload_id: str | None, as_json: bool
) -> None:
    """Judge files and folders against the banks.

    The verdict does not change the exit code; a file that cannot be judged makes it 1.
    """
    from api import wiring

    settings = Settings.from_env()
    found = list(files.find(paths))
    if upload_id is not None and len(found) != 1:
        raise BadArgument("--upload-id goes with one file only")
    with closing(wiring.build(settings)) as parts:

        def judge(file: str) -> Verdict:
            with open(file, "rb") as media:
                return parts.checker.check_media(
                    CLI_KEY,
                    upload_id or new_id("upl"),
                    media,
                    digest_file(media),
                    metadata={"file": printable(file)},
                )

        code = files.run(found, judge, show_verdict, at_once=settings.decoders, as_json=as_json)
    context.exit(code)


def show_verdict(file: str, verdict: Verdict, as_json: bool) -> None:
    value = {"file": printable(file), **render.verdict_json(verdict)}
    output.result(value, describe(file, verdict), as_json=as_json)


def describe(file: str, verdict: Verdict) -> str:
    """A verdict for people: one line, and one for each match and each of its segments."""
    colour = COLOURS[verdict.action]
    word = click.style(verdict.action.value.upper().ljust(6), fg=colour, bold=True)
    lines = [f"{word} {file}", f"       {verdict.reason.text} [{verdict.reason.code}]"]
    for found in verdict.matches:
        signals = ", ".join(f"{s.signal_type} {s.score:.2f}" for s in found.signals)
        lines.append(f"       {found.reference.bank.name}: {found.reference.id} ({signals})")
        for pair in found.segments:
            query, reference = pair.query, pair.reference
            lines.append(
                f"         {output.clock(query.start)} - {output.clock(query.end)}"
                f"  is the reference's "
                f"{output.clock(reference.start)} - {output.clock(reference.end)}"
                f"{', backwards' if pair.backwards else ''}"
            )
    return "\n".join(lines)


@click.command("hash")
@paths_argument
@click.option("--dense", is_flag=True, help="Every frame, as references are hashed.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["words", "vpdq"]),
    default="words",
    help="vpdq: lines `frame,quality,hash,seconds` as the vPDQ tools read them.",
)
@json_option
@click.pass_context
def hash_media(
    context: click.Context, paths: tuple[str, ...], dense: bool, form: str, as_json: bool
) -> None:
    """Fingerprint files and folders; nothing is judged or kept."""
    from api import wiring

    settings = Settings.from_env()
    found = list(files.find(paths))
    if form == "vpdq" and (as_json or len(found) != 1):
        raise BadArgument("--format vpdq goes with one file, and without --json")
    sampling = Sampling(dense=dense, seconds=settings.decode_seconds)
    with closing(wiring.make_sandbox(settings)) as sandbox:

        def fingerprint(file: str) -> Hashed:
            with open(file, "rb") as media:
                digests = digest_file(media)
                return sandbox(media, sampling, FRAME_SIGNALS), digests

        show = show_hashes if form == "words" else show_vpdq
        code = files.run(found, fingerprint, show, at_once=settings.decoders, as_json=as_json)
    context.exit(code)


def show_hashes(file: str, hashed: Hashed, as_json: bool) -> None:
    value = {"file": printable(file), **render.hash_json(*hashed)}
    output.result(value, describe_hash(file, *hashed), as_json=as_json)


def show_vpdq(_file: str, hashed: Hashed, _as_json: bool) -> None:
    from api import wiring

    output.raw(wiring.write_vpdq(whole_picture(hashed[0].fingerprints)))


def whole_picture(fingerprints: Sequence[Fingerprint]) -> Fingerprint:
    """The PDQ codes of the first track's whole, upright picture; `BadArgument` where there are
    none."""
    for f in fingerprints:
        upright = f.orientation is Orientation.ORIGINAL and f.view is View.FULL
        if f.signal_type == "pdq" and f.track == 0 and upright:
            return f
    raise BadArgument("there are no PDQ codes of the whole picture")


def describe_hash(file: str, look: MediaFingerprints, digests: Digests) -> str:
    """A fingerprint for people: its size, not its codes."""
    coverage = look.coverage
    lines = [
        f"{file}: {look.kind.value}, {output.clock(coverage.total_s)}, {coverage.frames} frames "
        f"hashed, {coverage.flat_frames} of them too flat",
        f"  sha256 {digests.sha256}",
        f"  md5    {digests.md5}",
    ]
    for out in render.fingerprints_out(look.fingerprints):
        lines.append(f"  {out.signal_type} {out.view.value}, {len(out.frames)} codes")
        if len(out.frames) == 1:
            lines.append(f"    {out.frames[0].hash} quality {out.frames[0].quality}")
    return "\n".join(lines)
