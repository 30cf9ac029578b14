"""File systems by their URL: a folder, a bucket, or what else fsspec opens."""

from __future__ import annotations

from typing import Any

from fsspec.core import url_to_fs

from hashdb.errors import BadArgument, Unavailable


def opened(url: str, **options: bool) -> tuple[Any, str]:
    """fsspec's file system, and the path in it. Raises `BadArgument` where nothing here opens such
    a URL, `Unavailable` where a server is asked at once, as of FTP, and does not answer."""
    try:
        fs, root = url_to_fs(url, **options)
    except ImportError as error:
        raise BadArgument(f"{url}: {error}; pip install 'seawall[s3]'") from None
    except ValueError as error:
        raise BadArgument(f"{url}: {error}") from None
    except Exception as error:  # each file system has errors of its own
        raise Unavailable(f"{url}: {type(error).__name__}: {error}") from error
    return fs, root
