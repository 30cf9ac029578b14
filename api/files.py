"""What a path of this machine is, before it is read."""

from __future__ import annotations

import os
import stat

from hashdb.errors import BadArgument


def must_be_file(path: str) -> None:
    """Raises `BadArgument` for what is no regular file, and the `OSError` that stands in the way of
    knowing that, or of reading a folder. A FIFO is not opened: that would wait for its writer."""
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return
    if not stat.S_ISDIR(mode):
        raise BadArgument("not a regular file")
    if os.path.islink(path):
        raise BadArgument("a link to a folder, which is not followed: name the folder itself")
    os.scandir(path).close()
    raise BadArgument("a folder")
