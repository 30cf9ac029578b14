"""The `seawall` command.

Results go to standard output, all else to standard error. `--json` prints one JSON object a
line. Exit codes: 0 done; 1 it failed, or some of the files did; 2 the command was typed wrongly;
3 a part that Seawall needs does not answer, or the database is not upgraded; 130 interrupted.
"""

from __future__ import annotations

from api import early  # isort: skip

import logging
import os
import sys
from collections.abc import Sequence

import click

from api import threads  # noqa: F401  (first of all that imports numpy)
from api.commands import output
from api.commands.banks import bank, reference
from api.commands.kept import purge, uploads
from api.commands.media import hash_media, match
from api.commands.service import db, index, key, serve, sync
from api.commands.work import backfill, look_back, worker
from hashdb.errors import Invalid, NotUpgraded, SeawallError, Unavailable

early.over()

FAILED, USAGE, UNAVAILABLE, INTERRUPTED = 1, 2, 3, early.INTERRUPTED


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="seawall", prog_name="seawall")
def cli() -> None:
    """Keep confirmed attack footage from coming back.

    SEAWALL_DATA_DIR (default: ./seawall-data) and SEAWALL_DATABASE_URL say where things live.
    """


MEDIA = (bank, reference, match, hash_media, backfill, look_back)
OPERATION = (serve, worker, db, key, sync, index, purge, uploads)
for command in (*MEDIA, *OPERATION):
    cli.add_command(command)


def exit_code(error: SeawallError) -> int:
    """The exit code of a command that ended with this error."""
    if isinstance(error, Unavailable | NotUpgraded):
        return UNAVAILABLE
    return USAGE if isinstance(error, Invalid) else FAILED


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; tells errors on standard error."""
    as_json = "--json" in arguments
    try:
        code = cli.main(args=list(arguments), prog_name="seawall", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SeawallError as error:
        output.error(error, as_json=as_json)
        return exit_code(error)
    except (KeyboardInterrupt, click.Abort):
        print("seawall: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def main() -> None:
    """The console script."""
    logging.basicConfig(level=logging.WARNING, format="seawall: %(levelname)s: %(message)s")
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away (`seawall ... | head`): nothing more to say, and no one to tell.
        os._exit(0)
    if code == INTERRUPTED:
        # At once: not after the files that other threads still work on. Their children end with us.
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
