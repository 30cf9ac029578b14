"""Every setting, read once from the environment, with safe defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import limits

from hashdb.errors import BadSetting, Unavailable

T = TypeVar("T")

LEAST_KEY = 16
"""Characters of a secret."""


def _read(env: Mapping[str, str], name: str, parse: Callable[[str], T], default: T) -> T:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        return parse(text)
    except ValueError:
        raise BadSetting(f"{name}={text!r} cannot be read") from None


def _positive_int(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise ValueError(text)
    return value


def _days(text: str) -> int:
    """0: for good."""
    value = int(text)
    if not 0 <= value <= 36_500:
        raise ValueError(text)
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _rate(text: str) -> str:
    """Such as `600/minute`: one rate, of at least one request."""
    if not re.match(r"[0-9]", text):
        raise ValueError(text)
    (rate,) = limits.parse_many(text)
    if rate.amount <= 0 or rate.multiples <= 0:
        raise ValueError(text)
    return text


def _index(text: str) -> str:
    if text not in ("auto", "faiss", "hamming", "milvus"):
        raise ValueError(text)
    return text


def _milvus(text: str) -> str | None:
    """The address; what it says is in no error, for somebody may have put a password into it."""
    if not text:
        return None
    address = urlsplit(text)
    if address.scheme not in ("http", "https") or not address.hostname or "@" in address.netloc:
        raise BadSetting(
            "SEAWALL_MILVUS is no address such as http://HOST:19530 or https://HOST/DATABASE; a "
            "token belongs into SEAWALL_MILVUS_TOKEN_FILE"
        )
    return text


def _milvus_token(env: Mapping[str, str]) -> str:
    token = env.get("SEAWALL_MILVUS_TOKEN", "").strip()
    file = env.get("SEAWALL_MILVUS_TOKEN_FILE", "").strip()
    if not file:
        return token
    if token:
        raise BadSetting("set SEAWALL_MILVUS_TOKEN or SEAWALL_MILVUS_TOKEN_FILE, not both")
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise BadSetting(f"SEAWALL_MILVUS_TOKEN_FILE={file!r}: {reason}") from None


def _sampling_key(text: str) -> str:
    """A secret; what it says is in no error."""
    if text and len(text) < LEAST_KEY:
        raise BadSetting(f"SEAWALL_SAMPLING_KEY has fewer than {LEAST_KEY} characters")
    return text


def _log_level(text: str) -> str:
    level = text.upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise ValueError(text)
    return level


def _labels(text: str) -> tuple[str, ...]:
    labels = tuple(t.strip() for t in text.split(",") if t.strip())
    if not labels:
        raise ValueError(text)
    return labels


@dataclass(frozen=True, slots=True)
class Settings:
    """See docs/operator.md for what each does."""

    data_dir: Path
    database_url: str
    spool: str | None = None
    policy: Path | None = None
    index: str = "auto"
    index_source: str | None = None
    milvus: str | None = None
    milvus_token: str = field(default="", repr=False)
    retention_days: int = 30
    keep_verdicts_days: int = 365
    keep_jobs_days: int = 7
    keep_audit_days: int = 0
    max_upload_mb: int = 2048
    max_pixels: int = 100_000_000
    sampling_key: str = field(default="", repr=False)
    decode_seconds: float = 120.0
    decode_memory_mb: int = 2048
    decoders: int = 2
    decode_queue: int = 8
    rate_limit: str = "600/minute"
    rate_limit_storage: str = "memory://"
    classifier_url: str | None = None
    classifier_model: str | None = None
    classifier_onnx: Path | None = None
    classifier_labels: tuple[str, ...] = ()
    classifier_timeout_s: float = 2.0
    descriptor: Path | None = None
    log_level: str = "INFO"

    def make_data_dir(self) -> None:
        """Make the folder where there is none. Raises `Unavailable`."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = f"SEAWALL_DATA_DIR={str(self.data_dir)!r} is no folder, and cannot be made one"
            raise Unavailable(f"{why}: {error.strerror}") from None

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Raises `BadSetting` with the variable's name where a value cannot be read."""
        data_dir = _read(env, "SEAWALL_DATA_DIR", Path, Path("seawall-data")).absolute()
        default_url = f"sqlite:///{data_dir / 'seawall.db'}"
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        decoders = _read(env, "SEAWALL_DECODERS", _positive_int, cpus)
        none_path: Path | None = None
        none_text: str | None = None
        return cls(
            data_dir=data_dir,
            database_url=_read(env, "SEAWALL_DATABASE_URL", str, default_url),
            spool=_read(env, "SEAWALL_SPOOL", str, none_text),
            policy=_read(env, "SEAWALL_POLICY", Path, none_path),
            index=_read(env, "SEAWALL_INDEX", _index, "auto"),
            index_source=_read(env, "SEAWALL_INDEX_SOURCE", str, none_text),
            milvus=_milvus(env.get("SEAWALL_MILVUS", "").strip()),
            milvus_token=_milvus_token(env),
            retention_days=_read(env, "SEAWALL_RETENTION_DAYS", _days, 30),
            keep_verdicts_days=_read(env, "SEAWALL_KEEP_VERDICTS_DAYS", _days, 365),
            keep_jobs_days=_read(env, "SEAWALL_KEEP_JOBS_DAYS", _days, 7),
            keep_audit_days=_read(env, "SEAWALL_KEEP_AUDIT_DAYS", _days, 0),
            max_upload_mb=_read(env, "SEAWALL_MAX_UPLOAD_MB", _positive_int, 2048),
            max_pixels=_read(env, "SEAWALL_MAX_PIXELS", _positive_int, 100_000_000),
            sampling_key=_sampling_key(env.get("SEAWALL_SAMPLING_KEY", "").strip()),
            decode_seconds=_read(env, "SEAWALL_DECODE_SECONDS", _positive_float, 120.0),
            decode_memory_mb=_read(env, "SEAWALL_DECODE_MEMORY_MB", _positive_int, 2048),
            decoders=decoders,
            decode_queue=_read(env, "SEAWALL_DECODE_QUEUE", _positive_int, 4 * decoders),
            rate_limit=_read(env, "SEAWALL_RATE_LIMIT", _rate, "600/minute"),
            rate_limit_storage=_read(env, "SEAWALL_RATE_LIMIT_STORAGE", str, "memory://"),
            classifier_url=_read(env, "SEAWALL_CLASSIFIER_URL", str, none_text),
            classifier_model=_read(env, "SEAWALL_CLASSIFIER_MODEL", str, none_text),
            classifier_onnx=_read(env, "SEAWALL_CLASSIFIER_ONNX", Path, none_path),
            classifier_labels=_read(env, "SEAWALL_CLASSIFIER_LABELS", _labels, ()),
            classifier_timeout_s=_read(env, "SEAWALL_CLASSIFIER_TIMEOUT_S", _positive_float, 2.0),
            descriptor=_read(env, "SEAWALL_DESCRIPTOR", Path, none_path),
            log_level=_read(env, "SEAWALL_LOG_LEVEL", _log_level, "INFO"),
        )
