"""Fingerprints, in and out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from api.schemas.base import MAX_FRAMES, Hex64, Hex256, Ident, In, Out, Seconds, Whole
from hashdb.model import View


class _FrameIn(In):
    offset: Seconds = Field(description="presentation time in seconds")
    span: Seconds = Field(0.0, description="seconds for which near-identical frames follow")


class Frame256In(_FrameIn):
    quality: Whole = Field(100, ge=0, le=100, description="PDQ's; a flat picture has a low one")
    hash: Hex256 = Field(description="most significant bit first")


class Frame64In(_FrameIn):
    quality: Whole = Field(100, ge=0, le=100)
    hash: Hex64 = Field(description="most significant bit first")


class _FramesIn(In):
    pipeline: Ident = Field("unknown", description="version of the way from pixels to codes")
    track: Whole = Field(0, ge=0, le=63)
    view: View = Field(
        View.FULL, description="whole picture, borders cut off, or a picture within it"
    )


class PdqIn(_FramesIn):
    signal_type: Literal["pdq", "card"]
    frames: list[Frame256In] = Field(min_length=1, max_length=MAX_FRAMES)


class PhashIn(_FramesIn):
    signal_type: Literal["phash"]
    frames: list[Frame64In] = Field(min_length=1, max_length=MAX_FRAMES)


class VideohashIn(_FramesIn):
    signal_type: Literal["videohash"]
    frames: list[Frame64In] = Field(min_length=1, max_length=1)


class VpdqIn(In):
    """A vPDQ list as text: one line a frame, `frame_number,quality,hex,seconds`."""

    signal_type: Literal["vpdq"]
    list: str = Field(max_length=MAX_FRAMES * 120)


FingerprintIn = Annotated[
    PdqIn | PhashIn | VideohashIn | VpdqIn, Field(discriminator="signal_type")
]


class FrameOut(Out):
    offset: float
    hash: str
    quality: int
    span: float


class FingerprintOut(Out):
    signal_type: str
    pipeline: str
    track: int
    view: View
    frames: list[FrameOut]
