"""Local features of made pictures: what an edit leaves of them, and where it puts them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashdb.model import Rendering
from matcher import verify
from matcher.hashers import brief, local
from matcher.hashers.local import LocalHasher
from matcher.ports import FrameFeatures
from matcher.verify import Agreement, Picture

Luma = NDArray[np.uint8]
HASHER = LocalHasher()
HEIGHT, WIDTH = 480, 640
SAME = np.eye(3)


def textured(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Luma:
    """Noise of several grains, and shapes laid over it."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width), 128.0)
    for sigma, strength in ((1.5, 12), (4, 25), (14, 40)):
        grain = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), sigma)
        picture += strength * grain / grain.std()
    shown = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(30):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        grey, size = int(rng.integers(256)), int(rng.integers(8, 50))
        if rng.integers(2):
            cv2.rectangle(shown, (x, y), (x + size, y + size // 2), grey, -1)
        else:
            cv2.circle(shown, (x, y), size // 2, grey, 3)
    return shown


def jpeg(luma: Luma) -> Luma:
    _, data = cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, 30])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def noisy(luma: Luma) -> Luma:
    grain = np.random.default_rng(7).normal(0, 5, luma.shape)
    return np.clip(luma + grain, 0, 255).astype(np.uint8)


def moved(luma: Luma, x: float, y: float) -> NDArray[np.float64]:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def scaled(luma: Luma) -> tuple[Luma, NDArray[np.float64]]:
    """To 60 %."""
    small = cv2.resize(luma, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), np.diag([0.6, 0.6, 1.0])


def cropped(luma: Luma) -> tuple[Luma, NDArray[np.float64]]:
    """To 60 % of each side, not from the middle."""
    return luma[150:438, 60:444].copy(), moved(luma, -60, -150)


def turned(luma: Luma) -> tuple[Luma, NDArray[np.float64]]:
    """By 10 degrees about its middle."""
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 10, 1.0)
    shown = cv2.warpAffine(luma, turn, (WIDTH, HEIGHT), borderValue=128)
    return np.asarray(shown, np.uint8), np.vstack([turn, [0, 0, 1]])


EDITS = {
    "as it is": lambda luma: (luma, SAME),
    "jpeg": lambda luma: (jpeg(luma), SAME),
    "noise": lambda luma: (noisy(luma), SAME),
    "scaled": scaled,
    "cropped": cropped,
    "turned": turned,
}
RENDERED = {
    Rendering.PLAIN: lambda luma: luma,
    Rendering.MIRRORED: lambda luma: luma[:, ::-1].copy(),
    Rendering.INVERTED: lambda luma: 255 - luma,
    Rendering.MIRRORED_INVERTED: lambda luma: 255 - luma[:, ::-1],
}

RENDERINGS = [pytest.param(r, id=r.value) for r in Rendering]
FEWEST_FOUND = 15  # measured: 26 of a crop, 110 and more of every other edit; 6 may be chance


def picture(one: FrameFeatures) -> Picture:
    return Picture(one.codes, one.places, one.width, one.height)


def reference(luma: Luma) -> FrameFeatures:
    found = HASHER.reference(luma)
    assert found is not None
    return found


def seen(query: Luma, of: Luma) -> dict[Rendering, Agreement | None]:
    """How a picture is found in another, by rendering."""
    source = picture(reference(of))
    return {
        one.rendering: verify.agreement(verify.candidates(picture(one), source))
        for one in HASHER.query(query)
    }


def inliers(found: dict[Rendering, Agreement | None]) -> dict[Rendering, int]:
    return {rendering: 0 if a is None else a.inliers for rendering, a in found.items()}


def to_features(luma: Luma, side: int) -> NDArray[np.float64]:
    """The picture's pixels to those of the picture that is looked at."""
    factor = min(1.0, side / max(luma.shape))
    return np.diag([factor, factor, 1.0])


@pytest.fixture(scope="module")
def original() -> Luma:
    return textured(1)


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_picture_is_found_where_the_edit_put_it(edit: str, original: Luma) -> None:
    shown, where = EDITS[edit](original)
    found = seen(shown, original)
    plain = found[Rendering.PLAIN]
    assert plain is not None
    counts = inliers(found)
    assert plain.inliers >= FEWEST_FOUND
    assert all(4 * counts[r] < plain.inliers for r in counts if r is not Rendering.PLAIN)
    # The reference's pixels -> the original's -> the edited one's -> the query's.
    back = np.linalg.inv(to_features(original, local.REFERENCE_SIDE))
    expected = (to_features(shown, local.QUERY_SIDE) @ where @ back)[:2]
    places = np.array([[x, y] for x in range(0, 448, 8) for y in range(0, 336, 8)], np.float32)
    right = verify.mapped(expected, places)
    size = (to_features(shown, local.QUERY_SIDE) @ [shown.shape[1], shown.shape[0], 1])[:2]
    seen_there = ((right >= 0) & (right <= size)).all(axis=1)
    off = np.abs(verify.mapped(plain.map, places) - right)[seen_there]
    assert off.max() < 2.0
    assert np.allclose(plain.map[:, :2], expected[:, :2], atol=0.015)


@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("edit", ["as it is", "jpeg", "cropped", "scaled"])
def test_a_mirror_and_a_negative_are_found_in_their_rendering(
    rendering: Rendering, edit: str, original: Luma
) -> None:
    shown = RENDERED[rendering](EDITS[edit](original)[0])
    counts = inliers(seen(shown, original))
    assert set(counts) == set(Rendering)
    assert counts[rendering] >= FEWEST_FOUND
    assert all(4 * counts[r] < counts[rendering] for r in counts if r is not rendering)


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_a_rendering_holds_what_that_picture_itself_would(
    rendering: Rendering, original: Luma
) -> None:
    """Of the mirrored picture, the mirrored rendering is the plain picture: nearly the same codes,
    at the same places, of the same size, turned the same way."""
    plain = HASHER.query(original)[0]
    mine = next(f for f in HASHER.query(RENDERED[rendering](original)) if f.rendering is rendering)
    assert (mine.width, mine.height) == (plain.width, plain.height)
    table = np.bitwise_count(mine.codes[:, None] ^ plain.codes[None]).sum(axis=2, dtype=int)
    off = np.abs(mine.places[:, None, :2] - plain.places[None, :, :2]).max(axis=2)
    same_size = np.abs(mine.places[:, None, 2] - plain.places[None, :, 2]) < 0.1
    row, column = np.nonzero((table <= 40) & (off <= 3) & same_size)
    assert len(set(row.tolist())) > 0.8 * len(mine.codes)
    turn = (mine.places[row, 3] - plain.places[column, 3] + 180) % 360 - 180
    assert np.abs(turn).max() < 25


def test_another_picture_is_not_found(original: Luma) -> None:
    assert max(inliers(seen(textured(2), original)).values()) < 6


@pytest.mark.parametrize(
    "flat",
    [
        np.full((480, 640), 90, np.uint8),
        np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1)),
        np.zeros((64, 64), np.uint8),
    ],
)
def test_a_flat_picture_has_none(flat: Luma) -> None:
    assert HASHER.reference(flat) is None
    assert HASHER.query(flat) == ()


@pytest.mark.parametrize("shape", [(31, 640), (640, 31), (31, 31), (1, 1), (8, 3000), (32, 32)])
def test_a_very_small_picture_has_none(shape: tuple[int, int]) -> None:
    luma = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    assert HASHER.reference(luma) is None
    assert HASHER.query(luma) == ()


@pytest.mark.parametrize("shape", [(33, 8000), (8000, 33)])
def test_a_very_long_and_narrow_picture_has_none(shape: tuple[int, int]) -> None:
    luma = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    assert HASHER.reference(luma) is None
    assert HASHER.query(luma) == ()


def test_too_few_corners_are_none_at_all() -> None:
    """A dot has two corners, over all scales; a square has eleven."""
    dot, square = (np.full((240, 320), 40, np.uint8) for _ in range(2))
    dot[120:126, 160:166] = square[120:160, 160:200] = 200
    assert 0 < len(local.corners(dot, local.QUERY_FEATURES)) < local.FEWEST
    assert HASHER.reference(dot) is None
    assert HASHER.query(dot) == ()
    assert HASHER.reference(square) is not None
    assert len(HASHER.query(square)) == len(Rendering)


@pytest.mark.parametrize("shape", [(33, 4000), (4000, 40), (1200, 1920), (1920, 1200), (448, 448)])
def test_counts_and_sizes_are_limited(shape: tuple[int, int]) -> None:
    luma = np.random.default_rng(4).integers(0, 256, shape).astype(np.uint8)
    one = HASHER.reference(luma)
    limits = [(f, local.QUERY_SIDE, local.QUERY_FEATURES) for f in HASHER.query(luma)]
    if one is not None:
        limits.append((one, local.REFERENCE_SIDE, local.REFERENCE_FEATURES))
    for found, side, most in limits:
        assert max(found.width, found.height) == min(side, max(shape))
        assert found.width / found.height == pytest.approx(shape[1] / shape[0], rel=0.05)
        assert local.FEWEST <= len(found.codes) <= most
        well_formed(found)
    assert bool(limits) == (min(shape) > 100)


def well_formed(found: FrameFeatures) -> None:
    assert found.codes.dtype == np.uint8
    assert found.codes.shape == (len(found.codes), 32)
    assert found.places.dtype == np.float32
    assert found.places.shape == (len(found.codes), 4)
    x, y, size, angle = found.places.T
    assert ((x >= 0) & (x < found.width) & (y >= 0) & (y < found.height)).all()
    assert (size >= 0.99 * verify.SMALLEST_PATCH).all()
    assert ((angle >= 0) & (angle < 360)).all()


@pytest.mark.parametrize(("width", "described"), [(512, 448), (300, 300), (226, 226), (224, 448)])
def test_only_a_very_small_picture_is_made_larger(width: int, described: int) -> None:
    one = reference(textured(5, width * 3 // 4, width))
    assert (one.width, one.height) == (described, pytest.approx(described * 3 / 4, abs=1))


def test_a_crop_of_a_very_small_picture_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 160 lines, of which 80 are left."""
    whole = textured(11, 160, 214)
    crop = jpeg(np.ascontiguousarray(whole[50:130, 60:167]))

    def inliers() -> int:
        found = HASHER.query(crop)
        pairs = verify.candidates(picture(found[0]), picture(reference(whole))) if found else None
        agreed = None if pairs is None else verify.agreement(pairs)
        return 0 if agreed is None else agreed.inliers

    enlarged = inliers()
    monkeypatch.setattr(local, "ENLARGED", 100.0)
    assert enlarged > 1.5 * inliers()


def test_every_feature_of_every_rendering_is_well_formed(original: Luma) -> None:
    found = HASHER.query(original)
    assert [f.rendering for f in found] == list(Rendering)
    for one in found:
        well_formed(one)


@pytest.mark.parametrize(("height", "width"), [(HEIGHT, WIDTH), (300, 512), (181, 97)])
def test_compiled_codes_are_opencvs(height: int, width: int) -> None:
    shown = textured(5, height, width)
    corners = local.corners(shown, 500)
    ours = list(local.described_by_loops(shown, corners, tuple(Rendering)))
    theirs = {
        one.rendering: one for one in local.described_by_opencv(shown, corners, tuple(Rendering))
    }
    assert [one.rendering for one in ours] == list(Rendering)
    for one in ours:
        other = theirs[one.rendering]
        places = [place.tobytes() for place in one.places]
        rows = [places.index(place.tobytes()) for place in other.places]
        assert len(rows) >= 0.97 * len(places)  # in a mirror a few lie on OpenCV's edge
        apart = np.bitwise_count(one.codes[rows] ^ other.codes).sum(axis=1)
        # in a mirror OpenCV may take the next pixel of an octave: 16 to 30 bits
        assert one.rendering is not Rendering.PLAIN or apart.max() == 0
        assert one.rendering.mirrored or apart.mean() < 1
        assert np.median(apart) <= 1


def test_the_plain_codes_are_the_same_alone() -> None:
    shown = textured(6)
    corners = local.corners(shown, 300)
    alone = brief.describe(shown, corners, every=False)
    assert alone.shape == (1, len(corners), 32)
    assert (alone[0] == brief.describe(shown, corners, every=True)[0]).all()


def test_nothing_is_compiled_once_it_is_warm() -> None:
    """The child may open no file, not even Numba's cache."""
    brief.warm()
    before = list(brief._compiled.signatures)
    for count in (1, 2, 300):
        brief.describe(textured(6), local.corners(textured(6), count), every=count > 1)
    assert brief._compiled.signatures == before


def test_an_image_is_described_at_two_sizes_in_the_pixels_of_the_larger() -> None:
    luma = textured(8, 900, 1400)
    usual, image = HASHER.query(luma), HASHER.query(luma, alone=True)
    for one, more in zip(usual, image, strict=True):
        well_formed(more)
        assert (more.rendering, more.width) == (one.rendering, local.ONE_QUERY[1][0])
        assert len(more.codes) > 1.5 * len(one.codes)
        assert (more.codes[: len(one.codes)] == one.codes).all()
        grown = more.width / one.width
        assert more.places[: len(one.codes), :3] == pytest.approx(one.places[:, :3] * grown)
    reference = HASHER.reference(luma, alone=True)
    assert reference is not None
    assert reference.width == local.ONE_REFERENCE[1][0]
    assert len(reference.codes) <= sum(count for _, count in local.ONE_REFERENCE)


def test_a_small_image_is_described_once() -> None:
    luma = textured(9, 300, 400)
    once, alone = HASHER.query(luma), HASHER.query(luma, alone=True)
    assert [len(f.codes) for f in alone] == [len(f.codes) for f in once]


def test_an_image_within_a_larger_picture_is_found_by_more() -> None:
    """A third of the width of a screen: at the usual size little of it is left."""
    shown, screen = textured(10, 720, 1280), np.full((1080, 1920), 200, np.uint8)
    screen[300:660, 600:1240] = cv2.resize(shown, (640, 360), interpolation=cv2.INTER_AREA)
    counts = []
    for alone in (False, True):
        of = HASHER.reference(shown, alone=alone)
        assert of is not None
        query = HASHER.query(screen, alone=alone)[0]
        found = verify.agreement(verify.candidates(picture(query), picture(of)))
        counts.append(0 if found is None else found.inliers)
    assert counts[1] > 1.5 * counts[0]


def busy_corner() -> Luma:
    """Weak grain everywhere; one sixteenth of the picture is far stronger."""
    rng = np.random.default_rng(6)
    luma = cv2.GaussianBlur(textured(6).astype(np.float64), (0, 0), 1.0) * 0.5 + 60
    luma[:120, :160] = rng.integers(0, 2, (30, 40)).repeat(4, 0).repeat(4, 1) * 255
    return np.clip(luma, 0, 255).astype(np.uint8)


def test_a_busy_corner_does_not_take_all() -> None:
    one = reference(busy_corner())
    x, y = one.places[:, 0] / one.width, one.places[:, 1] / one.height
    inside = (x < 0.25) & (y < 0.25)
    assert inside.any()
    assert inside.mean() < 0.35
    cells = set(zip((4 * x).astype(int).tolist(), (4 * y).astype(int).tolist(), strict=True))
    assert len(cells) == 16


def test_corners_are_taken_in_turns_from_the_cells() -> None:
    """By numbers: 300 strong ones in one cell, 10 weak ones in each of nine others."""
    strong = [(5 + i % 10, 5 + i // 30) for i in range(300)]
    weak = [(150 + 100 * (c % 3), 150 + 100 * (c // 3) + i) for c in range(9) for i in range(10)]
    at = np.array(strong + weak, np.float32)
    strength = np.array([100.0 + i for i in range(300)] + [1.0 + i for i in range(10)] * 9)
    kept = local._spread(at, strength, (600, 600), 100)
    assert len(set(kept.tolist())) == 100
    taken = strength[kept][strength[kept] >= 100]
    assert len(taken) == 10
    assert taken.min() == 390.0  # and of each cell the strongest
    assert local._spread(at[:300], strength[:300], (600, 600), 300).tolist() == list(range(300))


def test_the_same_picture_has_the_same_features(original: Luma) -> None:
    one, other = reference(original), reference(original.copy())
    assert np.array_equal(one.codes, other.codes)
    assert np.array_equal(one.places, other.places)


def test_it_says_which_pipeline_it_is() -> None:
    assert HASHER.pipeline == local.PIPELINE


@settings(max_examples=200)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=300))
def test_hundredths_are_numpys_percentiles(shades: list[int]) -> None:
    counts = np.bincount(shades, minlength=256)
    found = [local._hundredth(counts, wanted) for wanted in (1, 50, 99)]
    assert found == np.percentile(np.array(shades, np.uint8), (1, 50, 99)).tolist()


@settings(max_examples=100)
@given(st.integers(1, 400), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_corners_are_spread_as_by_the_rule_said_in_full(many: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = rng.uniform(0, (200, 100), (many, 2)).astype(np.float32)
    strength = rng.integers(0, 9, many).astype(np.float64)
    cells: dict[tuple[int, int], list[int]] = {}
    for row in sorted(range(many), key=lambda row: -strength[row]):
        cell = (int(at[row, 1] * 6 // 100), int(at[row, 0] * 6 // 200))
        cells.setdefault(cell, []).append(row)
    turns = [(turn, -strength[r], r) for rows in cells.values() for turn, r in enumerate(rows)]
    expected = [r for *_, r in sorted(turns)][:count] if many > count else list(range(many))
    assert local._spread(at, strength, (100, 200), count).tolist() == expected
