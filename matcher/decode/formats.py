"""Which formats and codecs are decoded, by allow-list, and how a file's first bytes tell them.

Nothing here can open a second file: no playlists (HLS, DASH), no concat scripts, no image
sequences, no subtitles, no devices. The names are FFmpeg's.
"""

from __future__ import annotations

import re

VIDEO_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "m4v",
    "h264",
    "hevc",
    "ivf",
    "obu",
    "ogg",
    "flv",
    "asf",
    "mxf",
    "dv",
    "mjpeg",
    "jpeg_pipe",  # JPEG after JPEG in one stream; single pictures go another way
)
# Known so that a sound file can be told from an unknown file, and for its cover picture.
SOUND_FORMATS = ("mp3", "wav", "flac", "aac", "aiff", "w64", "caf")
FORMATS = VIDEO_FORMATS + SOUND_FORMATS
# Without a container: FFmpeg finds them at any place of a file, such as a document with pictures.
RAW_FORMATS = ("mpegvideo", "m4v", "h264", "hevc", "mjpeg", "jpeg_pipe")
# Nothing says how long a picture of these is shown: none may be passed over as too short.
UNTIMED = ("mjpeg", "jpeg_pipe")

_CODECS = """
    h264 hevc vvc vp8 vp9 vp6 vp6f vp6a av1 libdav1d mpeg1video mpeg2video mpeg4 msmpeg4 msmpeg4v1
    msmpeg4v2 msmpeg4v3 h261 h263 h263i h263p flv flv1 theora wmv1 wmv2 wmv3 vc1 mjpeg mjpegb prores
    dnxhd dvvideo cinepak svq1 svq3 indeo3 indeo4 indeo5 rawvideo ffv1 huffyuv ffvhuff utvideo
    magicyuv qtrle png bmp gif webp cfhd rpza snow msvideo1 msrle v210 libvpx libvpx-vp9
"""
CODECS = frozenset(_CODECS.split())
# Of WebM, where transparency lies beside the picture: FFmpeg's own decoders pass over it.
WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

# The extension under which each container is known, for tools that go by names.
EXTENSIONS = {
    "mov,mp4,m4a,3gp,3g2,mj2": "mp4",
    "matroska,webm": "mkv",
    "mpegts": "ts",
    "mpeg": "mpg",
    "mpegvideo": "mpg",
    "ogg": "ogv",
    "jpeg_pipe": "mjpeg",
}

_STILLS = (
    ("jpeg", re.compile(rb"\xff\xd8\xff")),
    ("png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("gif", re.compile(rb"GIF8[79]a")),
    ("webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("tiff", re.compile(rb"II\*\0|MM\0\*")),
    # BITMAPFILEHEADER, then the size of one of the known information headers.
    ("bmp", re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)),
    (
        "avif",
        re.compile(rb"....ftyp(avif|avis|(mif1|msf1|miaf)....(....)*?(avif|avis))", re.DOTALL),
    ),
    ("heif", re.compile(rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)", re.DOTALL)),
)
_CONTAINERS = (
    ("mp4", re.compile(rb"....(ftyp|moov|mdat|free|skip|wide|styp|moof)", re.DOTALL)),
    ("matroska", re.compile(rb"\x1a\x45\xdf\xa3")),
    ("riff", re.compile(rb"RIFF....(AVI |WAVE)", re.DOTALL)),
    ("mpegts", re.compile(rb"\x47.{187}\x47|.{4}\x47.{191}\x47", re.DOTALL)),
    ("mpeg", re.compile(rb"\0\0\x01[\xb0-\xbf\xe0-\xef]")),
    ("annexb", re.compile(rb"\0\0(\0)?\x01")),
    ("ogg", re.compile(rb"OggS")),
    ("flv", re.compile(rb"FLV\x01")),
    ("asf", re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11")),
    ("ivf", re.compile(rb"DKIF")),
    ("mxf", re.compile(rb"\x06\x0e\x2b\x34\x02\x05\x01\x01")),
    ("mp3", re.compile(rb"ID3")),
    ("flac", re.compile(rb"fLaC")),
    ("aiff", re.compile(rb"FORM....AIF[FC]", re.DOTALL)),
)


def still_format(head: bytes) -> str | None:
    """The picture format that a file's first bytes (32 and more) announce, animated ones
    included, or None."""
    return next((name for name, sign in _STILLS if sign.match(head)), None)


def following_format(head: bytes) -> str | None:
    """The format of a picture that begins there (64 bytes and more), or behind zeros and line
    ends, or None."""
    rest = head.lstrip(b"\0\r\n")
    # What begins with its length begins with zeros.
    return still_format(rest) or still_format(b"\0\0\0" + rest)


def is_known(head: bytes) -> bool:
    """Whether the first bytes (400 and more) are those of a picture, video or sound format: what
    cannot be opened in spite of them is damaged, not unknown."""
    return any(sign.match(head) for _, sign in _STILLS + _CONTAINERS)


# SOI and EOI (ITU-T T.81, B.1.1.3); markers that carry no length; the MPF index of a multi-picture
# JPEG (CIPA DC-007).
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)


def is_motion_jpeg(data: bytes) -> bool:
    """Whether JPEG bytes are followed at once by another JPEG: a raw stream of them, as cameras
    send it, not a photograph."""
    return behind_jpeg(data) == "jpeg"


def behind_jpeg(data: bytes) -> str | None:
    """The format of the picture that follows at once on a JPEG, or None. Those of multi-picture
    photographs (MPO) are part of the photograph."""
    at = 2
    while True:
        marker = _NEXT_MARKER.search(data, at)
        if marker is None:
            return None
        at = marker.end()
        kind = marker.group(1)[0]
        if kind == 0xD9:
            found = following_format(data[at : at + 64])
            return None if found == "jpeg" and b"MPF\0" in data[:at] else found
        if kind == 0xD8 or kind == 0x01:
            continue
        if at + 2 > len(data):
            return None
        at += int.from_bytes(data[at : at + 2], "big")
