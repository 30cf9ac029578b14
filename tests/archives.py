"""Archives for tests: a folder, fsspec's own memory, and a bucket on a real S3 server (moto's), on
the loopback only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import fsspec


class Files:
    """An archive that a test fills: `url`, and what is in it by name."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, self._root = fsspec.url_to_fs(url, use_listings_cache=False)

    def put(self, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            path = f"{self._root}/{name}"
            if "s3" not in self._fs.protocol:
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(path, data)

    def remove(self, name: str) -> None:
        self._fs.rm_file(f"{self._root}/{name}")


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """A server, and the environment in which clients find it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server.stop()


@contextmanager
def archive_of(kind: str, folder: Path, s3: Mapping[str, str] | None = None) -> Iterator[Files]:
    name = f"archive-{token_hex(4)}"
    if kind == "folder":
        yield Files(str(folder / name))
        shutil.rmtree(folder / name, ignore_errors=True)
    elif kind == "memory":
        files = Files(f"memory://{name}")
        yield files
        if files._fs.exists(files._root):
            files._fs.rm(files._root, recursive=True)
    else:
        assert s3 is not None
        before = {n: os.environ.get(n) for n in s3}
        os.environ.update(s3)
        fs: Any = fsspec.filesystem("s3", skip_instance_cache=True)
        fs.mkdir(name)
        type(fs).clear_instance_cache()
        yield Files(f"s3://{name}/videos")
        type(fs).clear_instance_cache()
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value
