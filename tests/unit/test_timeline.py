"""The picture of a verdict."""

from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from api.timeline import MOST, timeline_svg
from hashdb.model import (
    Action,
    Bank,
    Coverage,
    Digests,
    Match,
    MediaKind,
    Reason,
    Reference,
    Segment,
    SegmentPair,
    Signal,
    Standing,
    Verdict,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def match(
    name="attacks",
    action=Action.BLOCK,
    kind=MediaKind.VIDEO,
    pairs=((5, 10, 0, 5),),
    backwards=False,
):
    bank = Bank("bank_1", name, action, None, True, NOW)
    seconds = None if kind is MediaKind.IMAGE else 20.0
    reference = Reference(
        "ref_1", bank, kind, Digests(), None, None, seconds, 9, Standing.POSITIVE, True, NOW
    )
    segments = tuple(SegmentPair(Segment(a, b), Segment(c, d), backwards) for a, b, c, d in pairs)
    return Match(reference, 0.9, (Signal("pdq", 0.9),), segments)


def verdict(*matches, action=Action.BLOCK, total=20.0, upload_id="upload-1"):
    return Verdict(
        upload_id,
        action,
        Reason("code", "A text."),
        matches,
        Coverage(total, total, 9, 0),
        (),
        "policy",
        {},
        NOW,
    )


def drawn(*args, **kwargs):
    return ElementTree.fromstring(timeline_svg(verdict(*args, **kwargs)))


def test_a_segment_is_drawn_to_scale():
    (shape,) = drawn(match()).iter(SVG + "polygon")
    points = [tuple(map(float, p.split(","))) for p in shape.get("points").split()]
    (a, _), (b, _), (d, _), (c, _) = points
    width = 860 - 90 - 24
    assert (a, b) == pytest.approx((90 + width / 4, 90 + width / 2), abs=0.1)
    assert (c, d) == pytest.approx((90, 90 + width / 4), abs=0.1)


def test_what_is_played_backwards_is_crossed():
    (shape,) = drawn(match(backwards=True)).iter(SVG + "polygon")
    points = [tuple(map(float, p.split(","))) for p in shape.get("points").split()]
    (a, _), (b, _), (last, _), (first, _) = points
    width = 860 - 90 - 24
    assert (a, b) == pytest.approx((90 + width / 4, 90 + width / 2), abs=0.1)
    assert (first, last) == pytest.approx((90 + width / 4, 90), abs=0.1)


def test_text_from_outside_is_escaped():
    svg = timeline_svg(verdict(match(name="<script>"), upload_id='"><script>alert(1)</script>'))
    assert "<script" not in svg
    ElementTree.fromstring(svg)


def test_long_names_have_room():
    """A wide letter takes a font's size of 13; the title, which is not drawn, has the whole id."""
    root = drawn(match(name="b" * 64), upload_id="W" * 200)
    (shown,) = (t for t in root.iter(SVG + "text") if t.text.startswith("WWW"))
    assert shown.text.endswith("W\N{HORIZONTAL ELLIPSIS}")
    assert float(shown.get("x")) + 13 * len(shown.text) <= 860
    assert root.find(SVG + "title").text.endswith("W" * 200)
    (label,) = (t for t in root.iter(SVG + "text") if t.text.startswith("bbb"))
    assert label.text.startswith("b" * 29 + "\N{HORIZONTAL ELLIPSIS}: ref_1")
    assert any(t.text == "W" * 56 for t in drawn(upload_id="W" * 56).iter(SVG + "text"))


def test_an_image_is_drawn_as_a_whole():
    image = match(kind=MediaKind.IMAGE, pairs=((0, 0, 0, 0),))
    (shape,) = drawn(image, total=0.0).iter(SVG + "polygon")
    across = {float(p.split(",")[0]) for p in shape.get("points").split()}
    assert across == {90, 860 - 24}


def test_no_match_draws_no_segment():
    assert not list(drawn(action=Action.ALLOW).iter(SVG + "polygon"))


def test_many_matches_are_cut_and_counted():
    root = drawn(*[match()] * (MOST + 3))
    assert len(list(root.iter(SVG + "polygon"))) == MOST
    assert any("and 3 more" in (t.text or "") for t in root.iter(SVG + "text"))
