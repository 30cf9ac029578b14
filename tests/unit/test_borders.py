"""Borders: found to about a hundredth of the picture, and not where there are none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from matcher.hashers import pdq
from matcher.hashers.borders import BorderFinder, trim
from matcher.ports import Crop
from tests.golden.pictures import KINDS, noise

Luma = NDArray[np.uint8]
STORED = np.load(Path(__file__).parents[1] / "golden" / "pdq_frames.npz", allow_pickle=False)
BARS = {  # rows above and below, columns left and right, as parts of the picture's sides
    "letterbox": (0.17, 0.17, 0.0, 0.0),
    "pillarbox": (0.0, 0.0, 0.4, 0.4),
    "window": (0.15, 0.1, 0.2, 0.25),
    "one side": (0.3, 0.0, 0.0, 0.0),
}


def real() -> list[tuple[str, Luma]]:
    """Frames of real videos at twice their stored size, that have no borders of their own."""
    frames = []
    for name in STORED.files[1::3]:
        picture = Image.fromarray(STORED[name]).convert("L")
        luma = np.asarray(picture.resize((picture.width * 2, picture.height * 2)))
        if trim(luma) is None and pdq.look(luma).quality >= 50:
            frames.append((name, luma))
    return frames


REAL = real()


def compressed(luma: Luma, quality: int = 50) -> Luma:
    file = io.BytesIO()
    Image.fromarray(luma).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("L"))


def within(luma: Luma, bars: tuple[float, float, float, float], colour: int) -> tuple[Luma, Crop]:
    """The picture within bars, and where it lies."""
    height, width = luma.shape
    above, below, left, right = (
        round(part * side) for part, side in zip(bars, (height, height, width, width), strict=True)
    )
    padded = np.pad(luma, ((above, below), (left, right)), constant_values=colour)
    return padded, Crop(above, above + height, left, left + width)


def error(found: Crop | None, true: Crop, shape: tuple[int, ...]) -> float:
    """The worst edge's distance from where it is, as a part of the picture's side."""
    if found is None:
        return 1.0
    rows = max(abs(found.top - true.top), abs(found.bottom - true.bottom)) / shape[0]
    columns = max(abs(found.left - true.left), abs(found.right - true.right)) / shape[1]
    return max(rows, columns)


@pytest.mark.parametrize("colour", [0, 16, 128, 255])
@pytest.mark.parametrize("bars", BARS)
def test_bars_around_real_frames_are_found_to_a_hundredth(bars: str, colour: int) -> None:
    """Single frames may mislead (a scene's own flat part beside the bar); nearly all do not."""
    errors = []
    for _, luma in REAL:
        padded, true = within(luma, BARS[bars], colour)
        errors.append(error(trim(compressed(padded)), true, padded.shape))
    assert len(errors) >= 8
    assert np.mean(np.array(errors) <= 0.01) >= 0.85


@pytest.mark.parametrize("bars", BARS)
def test_the_trimmed_picture_hashes_as_the_picture_did(bars: str) -> None:
    near = []
    for _, luma in REAL:
        padded, _ = within(luma, BARS[bars], 0)
        padded = compressed(padded, 80)
        crop = trim(padded)
        if crop is not None:
            inside = padded[crop.top : crop.bottom, crop.left : crop.right]
            codes = [np.frombuffer(pdq.hash(p)[0], np.uint8) for p in (luma, inside)]
            near.append(int(np.bitwise_count(codes[0] ^ codes[1]).sum()) <= 31)
    assert np.mean(near) >= 0.85


@pytest.mark.parametrize("name", [name for name, _ in REAL[::3]])
def test_a_night_scene_is_not_cut_to_nothing(name: str) -> None:
    luma = dict(REAL)[name]
    night = compressed((luma // 12).astype(np.uint8))
    crop = trim(night)
    if crop is not None:
        area = (crop.bottom - crop.top) * (crop.right - crop.left)
        assert area >= 0.25 * night.size


@pytest.mark.parametrize("grey", [0, 16, 128, 255])
def test_a_flat_frame_has_no_borders(grey: int) -> None:
    assert trim(np.full((240, 320), grey, dtype=np.uint8)) is None


def test_a_small_light_in_the_dark_is_no_picture_within_borders() -> None:
    night = np.zeros((240, 320), dtype=np.uint8)
    night[100:140, 150:190] = 200
    assert trim(night) is None


def test_a_caption_or_a_logo_in_the_bar_is_borne() -> None:
    luma = REAL[0][1]
    padded, true = within(luma, (0.3, 0.3, 0.0, 0.0), 0)
    picture = Image.fromarray(padded)
    draw = ImageDraw.Draw(picture)
    draw.text((20, 8), "Share THIS", fill=255)
    draw.rectangle((10, padded.shape[0] - 30, 40, padded.shape[0] - 15), fill=220)
    assert error(trim(np.asarray(picture)), true, padded.shape) <= 0.01


MARKS = {  # over bars of a quarter of the picture: left, top, right, bottom, as parts of the frame
    "a box in the bar": [(0.3, 0.04, 0.7, 0.09)],
    "a box near the edge": [(0.3, 0.09, 0.7, 0.15)],
    "a logo half over the picture": [(0.75, 0.1, 0.95, 0.24)],
    "a logo in the corner": [(0.8, 0.1, 1.0, 0.24)],
    "a box at the frame's edge": [(0.0, 0.0, 0.3, 0.08)],
    "boxes in both bars": [(0.1, 0.03, 0.5, 0.1), (0.4, 0.88, 0.65, 0.97)],
}


def marked(padded: Luma, marks: list[tuple[float, float, float, float]], colour: int) -> Luma:
    picture = Image.fromarray(padded)
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for left, top, right, bottom in marks:
        draw.rectangle((left * width, top * height, right * width, bottom * height), fill=colour)
    return np.asarray(picture)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("bar", [0, 255])
@pytest.mark.parametrize("marks", MARKS)
def test_boxes_over_a_bar_do_not_hide_its_end(marks: str, bar: int, turned: bool) -> None:
    errors = []
    for _, luma in REAL:
        padded, true = within(luma.T if turned else luma, (0.25, 0.25, 0.0, 0.0), bar)
        seen = marked(padded, MARKS[marks], 235 if bar == 0 else 40)
        if turned:
            seen, true = seen.T, Crop(true.left, true.right, true.top, true.bottom)
        errors.append(error(trim(compressed(np.ascontiguousarray(seen))), true, seen.shape))
    assert np.mean(np.array(errors) <= 0.01) >= 0.75


def test_a_caption_over_most_of_a_bar_does_not_hide_its_end() -> None:
    luma = REAL[0][1]
    padded, true = within(luma, (0.25, 0.0, 0.0, 0.0), 255)
    picture = Image.fromarray(padded)
    ImageDraw.Draw(picture).text((6, 4), "when you see it " * 8, fill=0, font_size=20)
    assert error(trim(compressed(np.asarray(picture))), true, padded.shape) <= 0.01


def test_a_lamp_in_the_dark_is_no_mark_over_a_bar() -> None:
    ramp = np.linspace(0, 1, 200)[:, None] * np.ones((1, 320))  # a dark sky that grows light slowly
    luma = (ramp * 120 + noise(200, 320, 3) / 16).astype(np.uint8)
    luma[20:30, 100:220] = 230
    assert trim(luma) is None


def test_bars_thinner_than_a_hundredth_stay() -> None:
    padded = np.pad(noise(400, 400, 1), ((2, 1), (0, 0)))
    assert trim(padded) is None


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    seed=st.integers(0, 1000),
    bar=st.integers(0, 200),
)
def test_any_picture_is_borne(kind: str, height: int, width: int, seed: int, bar: int) -> None:
    luma = np.pad(KINDS[kind](height, width, seed), ((bar, 0), (0, bar // 2)))
    crop = trim(luma)
    if crop is not None:
        assert 0 <= crop.top < crop.bottom <= luma.shape[0]
        assert 0 <= crop.left < crop.right <= luma.shape[1]


def boxed(luma: Luma, bar: int = 40) -> Luma:
    return np.pad(luma, ((bar, bar), (0, 0)))


BRIGHT = noise(160, 240, 1)
INSIDE = Crop(40, 200, 0, 240)


def dark_at_the_top(rows: int) -> Luma:
    luma = BRIGHT.copy()
    luma[:rows] = 0
    return luma


def test_a_dark_scene_does_not_narrow_the_picture() -> None:
    finder = BorderFinder()
    shown = [BRIGHT, dark_at_the_top(20), dark_at_the_top(33), BRIGHT, dark_at_the_top(48)]
    assert [finder.crop(boxed(p)) for p in shown] == [INSIDE] * 5


def test_frames_that_agree_on_less_are_believed() -> None:
    finder = BorderFinder()
    assert finder.crop(boxed(BRIGHT)) == INSIDE
    narrow = boxed(dark_at_the_top(20))
    assert [finder.crop(narrow) for _ in range(3)][-1] == Crop(60, 200, 0, 240)


def test_a_frame_that_shows_more_widens_the_picture_at_once() -> None:
    finder = BorderFinder()
    assert finder.crop(boxed(dark_at_the_top(20))) == Crop(60, 200, 0, 240)
    assert finder.crop(boxed(BRIGHT)) == INSIDE


def test_a_frame_without_bars_has_none() -> None:
    finder = BorderFinder()
    finder.crop(boxed(BRIGHT))
    assert finder.crop(noise(240, 240, 2)) is None
    assert finder.crop(boxed(BRIGHT)) == INSIDE


def test_an_edge_that_trembles_by_a_pixel_stays() -> None:
    finder = BorderFinder()
    crops = [
        finder.crop(np.pad(BRIGHT[at:], ((40 + at, 40), (0, 0)))) for at in (0, 1, 0, 1, 1, 1, 1)
    ]
    assert crops == [INSIDE] * 7
