"""Pictures, still and animated, by way of Pillow."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from hashdb.errors import CorruptMedia, MediaTooLarge, UnsupportedMedia
from hashdb.model import MediaKind
from matcher.decode import animation
from matcher.decode.luma import BLACK, WHITE, looks_different, luma_of_rgb, strips
from matcher.decode.pace import MAX_GAP_S, Look, Pace, Picker
from matcher.ports import Frame, Limits, Luma, MediaInfo, Picture, Sampling

_PILLOW = {
    "jpeg": ("JPEG", "MPO"),
    "png": ("PNG",),
    "gif": ("GIF",),
    "webp": ("WEBP",),
    "tiff": ("TIFF",),
    "bmp": ("BMP",),
    "avif": ("AVIF",),
}

_ANIMATED = ("gif", "webp", "png", "avif")
_MOST_BYTES = 256 << 20  # of an animation
_GAMMAS = 0.2, 1.2

# What a damaged file lacks is left grey; that it lacks something is found by looking, below.
_UNREADABLE = (
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    ZeroDivisionError,
    OverflowError,
    struct.error,
)


class OpenedPicture:
    """A still or an animated picture: see `matcher.ports.OpenedMedia`."""

    def __init__(self, media: BinaryIO, name: str, limits: Limits) -> None:
        if name not in _PILLOW:
            raise UnsupportedMedia("HEIC pictures are not supported; send JPEG, PNG, WebP or AVIF")
        self.format = name
        self.truncated = False
        Image.MAX_IMAGE_PIXELS = None  # our own limit is checked, with our own error
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the child may start none
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            self._image: Image.Image = Image.open(media, formats=_PILLOW[name])
            width, height = self._image.size
        except UnidentifiedImageError:
            raise CorruptMedia("the picture is damaged: its headers cannot be read") from None
        except _UNREADABLE:
            raise CorruptMedia("the picture is damaged: its headers cannot be read") from None
        if width * height > limits.max_pixels:
            raise MediaTooLarge(
                f"{width} x {height} pixels; at most {limits.max_pixels} are looked at"
            )
        self.truncated |= name == "png" and _is_shown_otherwise(self._image)
        self._durations = self._read_durations(media)
        moving = len(self._durations) > 1
        total = sum(self._durations) if moving else 0.0
        kind = MediaKind.VIDEO if moving else MediaKind.IMAGE
        self.info = MediaInfo(kind, total, 1, (total,))

    def _read_durations(self, media: BinaryIO) -> list[float]:
        """Seconds that each picture of an animation is shown: none of it is left out, or it would
        be the shorter for it, and all of what is left be judged."""
        try:
            if self.format not in _ANIMATED or not getattr(self._image, "is_animated", False):
                # Of a photograph with previews the first picture counts; of a document with pages
                # the others are not looked at, which is said.
                if self.format == "tiff" and getattr(self._image, "n_frames", 1) > 1:
                    self.truncated = True
                # Nor at those that Pillow loses where browsers do not, in a file that is damaged,
                # or made for it.
                if self.format in animation.READERS:
                    self.truncated |= _moves(media, self.format)
                return []
            if self.format not in animation.READERS:
                return [animation.INSTEAD_S] * getattr(self._image, "n_frames", 1)
        except _UNREADABLE:
            self.truncated = True
            return []
        at = media.tell()
        media.seek(0)
        data = media.read(_MOST_BYTES)
        if media.read(1):
            raise MediaTooLarge(f"an animation of more than {_MOST_BYTES >> 20} MB")
        media.seek(at)
        found = animation.durations(self.format, data)
        if len(found) < 2:  # though Pillow has found two
            self.truncated = True
            found += [animation.INSTEAD_S] * (2 - len(found))
        return found

    def frames(self, sampling: Sampling) -> Iterator[Frame]:
        """One frame of a still; of an animation, those that the sampling asks for. What shows
        something else over white than over black is given over both, over white as track 1."""
        if self.info.kind is MediaKind.IMAGE:
            yield from self._still()
            return
        pace = Pace(sampling)
        picker = Picker.of(sampling, self.info.duration)
        offset, taken = 0.0, float("-inf")
        for number, seconds in enumerate(self._durations):
            until = offset + seconds
            ends = number == len(self._durations) - 1 and not sampling.windows
            if pace.exhausted or not pace.affords(Look.KEYFRAME, offset / self.info.duration):
                self.truncated = True
            elif ends or picker.takes(offset, taken, picker.step):
                if not self._turn_to(number):
                    return
                yield from self._held(offset, until, pace)
                taken = offset
            offset = until

    def _turn_to(self, number: int) -> bool:
        """Decode up to that picture; False where the file is damaged there."""
        try:
            self._image.seek(number)
            self._image.load()
        except _UNREADABLE:
            self.truncated = True
            return False
        return True

    def _held(self, offset: float, until: float, pace: Pace) -> Iterator[Frame]:
        """The picture at hand, again while it stands still for long."""
        shown = _flattened(self._image)
        if shown is self._image:
            shown = shown.copy()  # the next one is decoded in its place
        backdrops = _on_each_backdrop(shown)
        while True:
            for track, (backdrop, luma) in enumerate(backdrops):
                pace.frames += 1
                yield Frame(offset, luma, track, partial(_small, shown, backdrop=backdrop))
            offset += MAX_GAP_S
            if offset >= until or pace.exhausted:
                return

    def _still(self) -> Iterator[Frame]:
        self._image.seek(0)
        if self.format == "webp":
            _let_go_of_decoder(self._image)
        try:
            self._image.load()
        except _UNREADABLE:
            self._load_what_is_there()
        self._set_upright()
        self._image = shown = _flattened(self._image)
        for track, (backdrop, luma) in enumerate(_on_each_backdrop(shown)):
            yield Frame(0.0, luma, track, partial(_small, shown, backdrop=backdrop))

    def _set_upright(self) -> None:
        """Lay it as its EXIF says. A large picture is held once: it is not copied where it lies
        right already, and what was decoded is let go of where not."""
        try:
            if self._image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                self._image = ImageOps.exif_transpose(self._image)
        except _UNREADABLE:
            return

    def _load_what_is_there(self) -> None:
        """A truncated picture: what was decoded is looked at, the rest is grey."""
        self.truncated = True
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            self._image.load()
        except _UNREADABLE:
            raise CorruptMedia("the picture is damaged and could not be decoded") from None
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False

    def close(self) -> None:
        self._image.close()


def _moves(media: BinaryIO, name: str) -> bool:
    """Whether the bytes tell of more pictures than one. The file is left where it was."""
    before = media.tell()

    def read(at: int, size: int) -> bytes:
        media.seek(at)
        return media.read(size)

    try:
        return animation.moves(name, read)
    finally:
        media.seek(before)


def _let_go_of_decoder(image: Image.Image) -> None:
    """Have a still WebP's decoder go once it has decoded: it holds the picture twice, and Pillow
    would keep it while it makes two more of it."""
    webp: Any = image

    def load_prepare() -> None:
        webp._decoder = None
        del webp.load_prepare  # nor does the image hold itself
        webp.load_prepare()

    webp.load_prepare = load_prepare  # which Pillow calls in between


def _is_shown_otherwise(image: Image.Image) -> bool:
    """Whether a PNG asks for a gamma at which browsers show what its levels do not (PNG, third
    edition, 13.13): those of real files are 0.45 and 0.56, or 1 where they count light."""
    gamma = image.info.get("gamma")
    told = "srgb" in image.info or "icc_profile" in image.info
    return gamma is not None and not told and not _GAMMAS[0] <= gamma <= _GAMMAS[1]


def _small(shown: Image.Image, side: int, backdrop: int) -> Picture:
    small = shown.resize((side, side), Image.Resampling.BILINEAR)
    if small.mode == "RGBA":
        on_backdrop = Image.new("RGBA", small.size, (backdrop, backdrop, backdrop, 255))
        small = Image.alpha_composite(on_backdrop, small)
    picture: NDArray[np.uint8] = np.asarray(small.convert("RGB"))
    return picture


def _cut(image: Image.Image) -> Iterator[tuple[slice, NDArray[Any]]]:
    """The picture in strips of rows, (n, W) or (n, W, channels) of its own kind of number: which
    rows, and what is in them. Pillow's way to numpy holds what it gives three times."""
    for strip in strips(image.height, image.width):
        yield strip, np.asarray(image.crop((0, strip.start, image.width, strip.stop)))


def _luma(shown: Image.Image, backdrop: int = BLACK) -> Luma:
    """(H, W) of RGB or RGBA."""
    luma = np.empty((shown.height, shown.width), np.uint8)
    for strip, rgb in _cut(shown):
        luma[strip] = luma_of_rgb(rgb, backdrop)
    return luma


def _on_each_backdrop(shown: Image.Image) -> list[tuple[int, Luma]]:
    """Laid over black, and over white where that shows something else; which backdrop, and what."""
    on_black = _luma(shown)
    found = [(BLACK, on_black)]
    if shown.mode == "RGBA" and shown.getchannel("A").getextrema() != (255, 255):
        on_white = _luma(shown, WHITE)
        found += [(WHITE, on_white)] if looks_different(on_black, on_white) else []
    return found


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey pictures scaled to eight bits; Pillow itself would clip them."""
    top = 65535.0
    if not image.mode.startswith("I;16"):
        brightest = (np.nan_to_num(deep.astype(np.float64)).max() for _, deep in _cut(image))
        top = max(1.0, *map(float, brightest))
    grey = np.empty((image.height, image.width), np.uint8)
    for strip, deep in _cut(image):
        scaled = np.nan_to_num(deep.astype(np.float64)) * (255.0 / top)
        grey[strip] = np.clip(scaled, 0, 255).astype(np.uint8)
    return Image.fromarray(grey)


def _flattened(image: Image.Image) -> Image.Image:
    """The picture as RGB, or as RGBA where parts of it are transparent; itself where it is."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clear = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
        wanted = "RGBA" if clear else "RGB"
        return image if image.mode == wanted else image.convert(wanted)
