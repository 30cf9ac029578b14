"""Types of fields, and the models that all others are of."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)

from api import members

MAX_FRAMES = 200_000
MAX_METADATA = 16 * 1024
MAX_SECONDS = 1e7  # 115 days

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Ident = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
UploadId = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=200,
        # It is part of a path, and of lines of text: no "/" first, no blank, nothing of the
        # Unicode categories Cc, Zl and Zp.
        pattern=r"^[^/\x00-\x20\x7f-\x9f\u2028\u2029][^\x00-\x20\x7f-\x9f\u2028\u2029]*$",
    ),
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_PRINTABLE)]
Line = Annotated[str, StringConstraints(max_length=1000, pattern=_PRINTABLE)]
Words = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]


def cursor_pattern(prefix: str) -> str:
    """Of a list's cursor: the id, such as `ref_0193a5...`, of the last one on a page."""
    return rf"^{prefix}_[0-9a-f]{{32}}$"


def _whole(value: object) -> object:
    """To JSON Schema 21.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Probability = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[int, Field(ge=1, le=1000)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
Md5 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{32}$")]
Sha256OrMd5 = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{32}){1,2}$")]
Hex256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{16}$")]


def _storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("no number may be infinite or not a number") from None
    if len(text) > MAX_METADATA:
        raise ValueError(f"is longer than {MAX_METADATA} bytes of JSON")
    if "\\u0000" in text:
        raise ValueError("no text may hold NUL")
    return value


Metadata = Annotated[dict[str, JsonValue], AfterValidator(_storable)]


def _once(text: Any) -> Any:
    try:
        twice = members.places(text)
    except (ValueError, TypeError, RecursionError):
        return text  # which pydantic refuses in its own words
    if twice:
        raise ValueError("a member is named more than once")
    return text


NamedOnce = BeforeValidator(_once)
"""Of a form field that is JSON."""


class In(BaseModel):
    """A request: strict about types, closed to unknown members."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class TextIn(BaseModel):
    """A query or a form: every value arrives as text."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def given(*choices: dict[str, JsonValue]) -> list[JsonValue]:
    """JSON Schema for members that must be there and be as given, one choice each."""
    return [{"required": list(choice), "properties": choice} for choice in choices]


def never_null(schema: dict[str, Any]) -> None:
    """A member that may be left out, and may not be null."""
    schema.update(next(option for option in schema.pop("anyOf") if option != {"type": "null"}))
    schema.pop("default", None)


TEXT: JsonValue = {"type": "string"}
