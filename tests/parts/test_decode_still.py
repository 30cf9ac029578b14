"""Pictures, still and animated."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from hashdb.errors import CorruptMedia, MediaTooLarge, UnsupportedMedia
from hashdb.model import MediaKind
from matcher.decode import animation, blocks, still
from matcher.decode import luma as weighing
from matcher.decode.formats import is_motion_jpeg
from matcher.decode.luma import luma_of_rgb
from matcher.decode.pyav import PyAvDecoder
from matcher.ports import Limits, Sampling, Window
from tests import media_maker as make

PICTURE = make.scene(3)


def look(data: bytes, limits: Limits | None = None):
    opened = PyAvDecoder(limits or Limits()).open(io.BytesIO(data))
    return opened, list(opened.frames(Sampling(dense=False)))


def alike(luma: np.ndarray, picture: np.ndarray, off: float = 2.0) -> bool:
    wanted = luma_of_rgb(picture)
    return luma.shape == wanted.shape and np.abs(luma.astype(int) - wanted).mean() < off


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_stills(name: str):
    opened, frames = look(make.image(PICTURE, name))
    assert opened.info.kind is MediaKind.IMAGE
    assert (opened.info.duration, opened.info.tracks) == (0.0, 1)
    assert [f.offset for f in frames] == [0.0]
    assert alike(frames[0].luma, PICTURE, 12 if name == "GIF" else 4)
    assert frames[0].picture(64).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("tag", "stored"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: np.rot90(p, 2)),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.swapaxes(0, 1)),
        (6, lambda p: np.rot90(p, 1)),
        (7, lambda p: np.rot90(p.swapaxes(0, 1), 2)),
        (8, lambda p: np.rot90(p, -1)),
    ],
)
def test_exif_orientation_is_honoured(tag, stored):
    exif = Image.Exif()
    exif[0x0112] = tag
    data = make.image(np.ascontiguousarray(stored(PICTURE)), "JPEG", quality=95, exif=exif)
    assert alike(look(data)[1][0].luma, PICTURE)


def saved(image: Image.Image, name: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr", "LA"])
def test_modes(mode: str):
    image = Image.fromarray(PICTURE).convert(mode)
    name = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    assert alike(look(saved(image, name))[1][0].luma, PICTURE, {"1": 130, "P": 14}.get(mode, 6))


def test_sixteen_bits_are_scaled_not_clipped():
    grey = luma_of_rgb(PICTURE)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert alike(look(saved(deep))[1][0].luma, np.dstack([grey] * 3))


@pytest.mark.parametrize("mode", ["I", "F", "I;16", "RGB", "RGBA", "P", "LA"])
def test_strips_make_no_difference(mode: str, monkeypatch: pytest.MonkeyPatch):
    if mode in ("I", "F", "I;16"):
        kind = {"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode]
        picture = Image.fromarray(luma_of_rgb(PICTURE).astype(kind) * 200)
    else:
        picture = Image.fromarray(PICTURE).convert(mode)
    assert picture.mode == mode
    name = "TIFF" if mode in ("I", "F", "I;16") else "PNG"
    whole = look(saved(picture, name))[1][0].luma
    monkeypatch.setattr(weighing, "STRIP", 1000)
    assert len(list(weighing.strips(*whole.shape))) > 10
    np.testing.assert_array_equal(look(saved(picture, name))[1][0].luma, whole)


@pytest.mark.parametrize("channels", [3, 4])
def test_the_luma_of_a_large_picture_needs_little_memory(channels: int):
    large = np.full((3000, 4000, channels), 7, np.uint8)
    tracemalloc.start()
    grey = luma_of_rgb(large)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most <= grey.nbytes + 30 * weighing.STRIP


def test_a_picture_that_is_upright_is_looked_at_twice_alike():
    opened = PyAvDecoder(Limits()).open(io.BytesIO(make.image(PICTURE, "WEBP", lossless=True)))
    first, second = (next(iter(opened.frames(Sampling(dense=False)))) for _ in range(2))
    np.testing.assert_array_equal(first.luma, second.luma)
    np.testing.assert_array_equal(first.picture(32), second.picture(32))


def test_what_is_transparent_lies_over_black():
    clear = np.zeros((*PICTURE.shape[:2], 1), np.uint8)
    clear[:, :80] = 255
    luma = look(make.image(np.dstack([PICTURE, clear])))[1][0].luma
    assert luma[:, 80:].max() == 0
    assert alike(luma[:, :80], PICTURE[:, :80])


def two_faced(on_black: np.ndarray, on_white: np.ndarray) -> np.ndarray:
    """A grey picture that shows one thing over black and another one over white."""
    dark, bright = luma_of_rgb(on_black) / 2.0, luma_of_rgb(on_white) / 2.0 + 127
    alpha = np.clip(255 - (bright - dark), 1, 255)
    grey = np.clip(dark * 255 / alpha, 0, 255)
    return np.dstack([grey, grey, grey, alpha]).round().astype(np.uint8)


def grey(luma: np.ndarray) -> np.ndarray:
    return np.repeat(luma[..., None], 3, axis=2).astype(np.uint8)


def test_what_shows_something_else_over_white_is_looked_at_over_both():
    other = make.scene(4)
    _, frames = look(make.image(two_faced(PICTURE, other)))
    assert [(f.offset, f.track) for f in frames] == [(0.0, 0), (0.0, 1)]
    assert alike(frames[0].luma, grey(luma_of_rgb(PICTURE) // 2))
    assert alike(frames[1].luma, grey(luma_of_rgb(other) // 2 + 127))


@pytest.mark.parametrize("name", ["WEBP", "PNG"])
def test_so_is_an_animation(name: str):
    shown = [two_faced(make.scene(n), make.scene(n + 10)) for n in range(1, 4)]
    file = io.BytesIO()
    first, *rest = map(Image.fromarray, shown)
    first.save(file, name, save_all=True, append_images=rest, duration=500, lossless=True)
    opened, frames = look(file.getvalue())
    assert {f.track for f in frames} == {0, 1}
    assert opened.info.tracks == 1
    white = grey(luma_of_rgb(make.scene(11)) // 2 + 127)
    assert alike(next(f for f in frames if f.track == 1).luma, white, 4)


def test_a_classifier_sees_them_as_they_are_shown():
    hidden = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    hidden[:, :40, 3] = 255
    _, frames = look(make.image(hidden))
    black, white = (frame.picture(64) for frame in frames)
    assert black[:, 20:].max() == 0
    assert white[:, 20:].min() == 255
    assert np.array_equal(black[:, :10], white[:, :10])


def with_gamma(gamma: float, before: bytes = b"") -> bytes:
    """A PNG that asks for it."""
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", round(gamma * 100_000)))
    if before:
        info.add(before, b"\0")
    return make.image(PICTURE, pnginfo=info)


@pytest.mark.parametrize(
    ("png", "otherwise"),
    [
        (with_gamma(1 / 2.2), False),
        (with_gamma(1.0), False),
        (with_gamma(0.02), True),
        (with_gamma(5.0), True),
        (with_gamma(0.02, before=b"sRGB"), False),
    ],
)
def test_a_png_that_is_shown_at_an_odd_gamma_is_not_judged_by_its_levels(
    png: bytes, otherwise: bool
):
    assert look(png)[0].truncated is otherwise


def test_what_is_not_transparent_is_looked_at_once():
    opaque = np.full((*PICTURE.shape[:2], 1), 255, np.uint8)
    opaque[:2, :2] = 0
    _, frames = look(make.image(np.dstack([PICTURE, opaque])))
    assert len(frames) == 1


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animations_are_videos(name: str):
    pictures = make.scenes(3, rate=10, cut=1.0)
    opened, frames = look(make.animation(pictures, name, each_ms=100))
    assert opened.info.kind is MediaKind.VIDEO
    assert opened.info.duration == pytest.approx(3.0, abs=0.05)
    assert len(frames) >= 8
    for frame in frames:
        assert alike(frame.luma, pictures[round(frame.offset * 10)], 6)


def with_control_twice(png: bytes) -> bytes:
    at = png.index(b"acTL") - 4
    return png[:at] + png[at : at + 20] + png[at:]


def with_empty_extension(gif: bytes) -> bytes:
    """Behind the first picture one without a block, and a comment: who takes the beginning of the
    comment for a block finds an end within it."""
    found = blocks.gif_blocks(lambda at, size: gif[at : at + size])
    kinds, places = zip(*found, strict=True)
    at = places[kinds.index(blocks.PICTURE) + 1]
    return gif[:at] + b"!\x01\0" + b"!\xfe\x21" + b"x" * 31 + b"\0;" + b"\0" + gif[at:]


@pytest.mark.parametrize(
    ("name", "made"), [("PNG", with_control_twice), ("GIF", with_empty_extension)]
)
def test_pictures_that_pillow_loses_are_owned_up_to(name: str, made: Callable[[bytes], bytes]):
    """Browsers show them."""
    data = made(make.animation(make.scenes(3, rate=10, cut=1.0), name))
    opened, frames = look(data)
    assert len(frames) == 1
    assert opened.truncated


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_the_last_picture_is_looked_at(name: str):
    """What plays once stands on it for good, however briefly it asks to be shown."""
    last = make.scene(99)
    _, frames = look(make.animation([*make.scenes(3.3, rate=10, cut=1.0), last], name))
    assert alike(frames[-1].luma, last, 6)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_of_a_brief_animation_every_picture_is_looked_at(name: str):
    """It may stand on the last one for good."""
    pictures = [make.scene(seed) for seed in range(1, 4)]
    _, frames = look(make.animation(pictures, name, each_ms=20))
    assert len(frames) == 3
    assert alike(frames[-1].luma, pictures[-1], 6)


def test_animation_without_durations_runs_as_browsers_run_it():
    opened, _ = look(make.animation(make.scenes(1, rate=10), each_ms=0))
    assert opened.info.duration == pytest.approx(1.0)


def test_a_picture_of_an_animation_that_stands_still_is_given_again():
    _, frames = look(make.animation([make.scene(1), make.scene(2)], each_ms=5000))
    assert [f.offset for f in frames] == [0, 2, 4, 5, 7, 9]


def test_stray_bytes_do_not_hide_the_rest_of_an_animation():
    data = make.animation([make.scene(1), make.scene(2), make.scene(3)])
    second = data.index(b"\x21\xf9", data.index(b"\x21\xf9") + 2)
    opened, frames = look(data[:second] + b"\x00" + data[second:])
    assert opened.info.kind is MediaKind.VIDEO
    assert alike(frames[-1].luma, make.scene(3), 12)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_what_lies_behind_more_pictures_than_are_looked_at_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    data = make.animation([make.scene(i) for i in range(4)], name)
    monkeypatch.setattr(animation, "_MOST", 4)
    assert look(data)[0].info.duration > 0
    monkeypatch.setattr(animation, "_MOST", 3)
    with pytest.raises(MediaTooLarge):
        look(data)


def test_an_animation_of_more_bytes_than_are_read_is_refused(monkeypatch: pytest.MonkeyPatch):
    data = make.animation([make.scene(1), make.scene(2)])
    monkeypatch.setattr(still, "_MOST_BYTES", len(data))
    assert look(data)[0].info.kind is MediaKind.VIDEO
    monkeypatch.setattr(still, "_MOST_BYTES", len(data) - 1)
    with pytest.raises(MediaTooLarge):
        look(data)


def test_a_stream_of_jpegs_is_a_video_and_a_photograph_with_a_preview_is_not():
    jpeg = make.image(PICTURE, "JPEG")
    assert is_motion_jpeg(jpeg + make.image(make.scene(4), "JPEG"))
    assert not is_motion_jpeg(jpeg)
    assert not is_motion_jpeg(jpeg + b"\0" * 40 + b"a movie behind the photograph")
    preview = jpeg[:2] + b"\xff\xe1" + (len(jpeg) + 2).to_bytes(2, "big") + jpeg + jpeg[2:]
    assert not is_motion_jpeg(preview)


@pytest.mark.parametrize("count", [2, 3, 30])
def test_of_a_stream_of_jpegs_every_picture_is_looked_at(count: int):
    scenes = [make.scene(number) for number in range(count)]
    opened, frames = look(b"".join(make.image(scene, "JPEG") for scene in scenes))
    assert opened.info.kind is MediaKind.VIDEO
    assert len(frames) == count
    assert all(alike(f.luma, scene, 4) for f, scene in zip(frames, scenes, strict=True))
    window = Sampling(dense=False, windows=(Window(0.0, opened.info.duration),))
    assert len(list(opened.frames(window))) == count


@pytest.mark.parametrize("second", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
@pytest.mark.parametrize("name", ["PNG", "WEBP", "BMP", "GIF", "JPEG"])
def test_a_picture_behind_the_end_of_another_is_not_passed_over_silently(name: str, second: str):
    first, behind = make.image(PICTURE, name), make.image(make.scene(4), second)
    for between in (b"", b"\0\0", b"\r\n"):
        opened, frames = look(first + between + behind)
        assert opened.truncated or len(frames) == 2
        assert alike(frames[0].luma, PICTURE, 12 if name == "GIF" else 4)
    assert not look(first)[0].truncated
    assert not look(first + b"what some program wrote there")[0].truncated


def test_a_picture_behind_an_animation_is_not_passed_over_silently():
    for name in ("GIF", "WEBP", "PNG"):
        data = make.animation([make.scene(1), make.scene(2)], name)
        assert not look(data)[0].truncated
        opened, frames = look(data + make.image(PICTURE, "JPEG"))
        assert opened.truncated
        assert len(frames) == 2


def test_a_photograph_with_a_second_picture_is_a_photograph():
    """MPO, as phones with two cameras write it; and a TIFF with pages."""
    for name in ("MPO", "TIFF"):
        data = make.animation([make.scene(1), make.scene(2)], name)
        opened, frames = look(data)
        assert opened.info.kind is MediaKind.IMAGE
        assert len(frames) == 1
        assert alike(frames[0].luma, make.scene(1), 4)


def test_damage_behind_the_first_picture_of_an_animation():
    data = make.animation([make.scene(1), make.scene(2)])
    end = data.index(b"\x21\xf9", data.index(b"\x21\xf9") + 2)
    opened, frames = look(data[: end + 5])
    assert frames
    assert alike(frames[0].luma, make.scene(1), 12)


def test_a_truncated_photograph_is_looked_at_as_far_as_it_goes():
    data = make.image(make.scene(3, size=(640, 480)), "JPEG", quality=95)
    opened, frames = look(data[: len(data) * 2 // 3])
    assert opened.truncated
    assert alike(frames[0].luma[:200], make.scene(3, size=(640, 480))[:200])


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF"])
def test_a_damaged_header_is_corrupt(name: str):
    with pytest.raises(CorruptMedia):
        look(make.image(PICTURE, name)[:40])


def test_too_many_pixels_are_refused_before_decoding():
    with pytest.raises(MediaTooLarge, match="20000 x 20000"):
        look(make.huge_png(20000, 20000))


def test_the_limit_of_pixels_is_a_setting():
    with pytest.raises(MediaTooLarge):
        look(make.image(PICTURE), Limits(max_pixels=160 * 120 - 1))


def test_one_pixel():
    _, frames = look(make.image(np.full((1, 1, 3), 200, np.uint8)))
    assert frames[0].luma.tolist() == [[200]]


def test_heic_is_refused_by_name():
    with pytest.raises(UnsupportedMedia, match="HEIC"):
        look(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
