"""A file system in memory on hosts, whose paths do not say whose they are: as fsspec's of FTP."""

from __future__ import annotations

from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFileSystem
from fsspec.utils import infer_storage_options


class Hosted(MemoryFileSystem):
    """Folders named `shut` may not be listed."""

    protocol = "hosted"
    held: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, host: str, **connection: Any) -> None:
        super().__init__()
        self.connection = connection
        self.host = host
        self.store = self.held.setdefault(host, {})
        self.pseudo_dirs = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        inner = str(infer_storage_options(path)["path"]).strip("/")
        return f"/{inner}" if inner else ""

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        told = infer_storage_options(path)
        return {name: told[name] for name in told if name not in ("path", "protocol")}

    def ls(self, path: str, detail: bool = True, **more: Any) -> list[Any]:
        if path.rstrip("/").endswith("/shut"):
            raise PermissionError(13, "Permission denied", path)
        return list(super().ls(path, detail=detail, **more))

    @classmethod
    def forget(cls) -> None:
        cls.held.clear()
        cls.clear_instance_cache()
