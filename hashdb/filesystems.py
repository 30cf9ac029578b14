"""File systems by their URL: a folder, a bucket, or what else fsspec opens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from errno import EACCES, EPERM
from ftplib import error_perm
from typing import Any
from urllib.parse import urlsplit

from fsspec.core import url_to_fs
from fsspec.implementations.ftp import FTPFileSystem

from hashdb.errors import BadArgument, Unavailable

_SFTP = ("sftp://", "ssh://")
_PASSWORD = re.compile(r"(\w*)(://[^/:]*):[^/]*@")


def opened(url: str, **options: bool) -> tuple[Any, str]:
    """fsspec's file system, and the path in it. Raises `BadArgument` where nothing here opens such
    a URL, `Unavailable` where a server is asked at once, as of FTP, and does not answer."""
    shown = without_password(url)
    if url.startswith(_SFTP):
        # It keeps no listings, and hands every option on to the connection, which knows no such
        # one. An instance is that connection: where the server has closed it, it is of no use.
        options = {"skip_instance_cache": True}
    try:
        fs, root = url_to_fs(url, **options)
    except ImportError as error:
        raise BadArgument(f"{shown}: {error}; pip install 'seawall[s3]'") from None
    except ValueError as error:
        raise BadArgument(f"{shown}: {error}") from None
    except Exception as error:  # each file system has errors of its own
        raise Unavailable(f"{shown}: {type(error).__name__}: {error}") from error
    return fs, root


def host_of(fs: Any, protocol: str, url: str) -> str:
    """`ftp://user@host:2121` for a file system whose paths do not say whose they are, as those of
    FTP, SFTP and SMB; nothing for others."""
    if "host" not in fs._get_kwargs_from_urls(url):
        return ""
    user, at, host = urlsplit(url).netloc.rpartition("@")
    return f"{protocol}://{user}{at}{host.lower()}"


def listed(fs: Any, folder: str) -> list[Mapping[str, Any]]:
    """What is told of each thing in a folder. Raises `PermissionError` where it may not be listed,
    which fsspec keeps to itself of FTP and gives others an error of their own for."""
    try:
        found = [i for i in fs.ls(folder, detail=True) if i["name"].rstrip("/") != folder]
        if not found and isinstance(fs, FTPFileSystem):
            fs.ftp.dir(folder, lambda line: None)
    except OSError as error:
        if error.errno in (EACCES, EPERM):
            raise PermissionError(error.errno, "Permission denied") from error
        raise
    except error_perm as error:
        raise PermissionError(EACCES, str(error)) from error
    return found


def without_password(url: str) -> str:
    return _PASSWORD.sub(r"\1\2@", url)


def refuse_password(url: str) -> None:
    """Raises `BadArgument` for a URL with a password: it would be kept, shown and logged."""
    if found := _PASSWORD.search(url):
        raise BadArgument(
            f"{without_password(url)}: a password does not belong in an address, where others see"
            f" it: fsspec takes it from the variable FSSPEC_{found[1].upper()}_PASSWORD"
        )
