"""A verdict as a picture: which seconds of the upload show which seconds of which reference.

SVG 1.1 without scripts or outside references, so that it may be embedded anywhere.
"""

from __future__ import annotations

import textwrap
from html import escape

from hashdb.model import Action, Match, Segment, Verdict

WIDTH = 860
LEFT = 90
RIGHT = 24
BAR = 16
BETWEEN = 46
TITLE = 36
"""From a match's words to its upper bar, above which stands its length."""
MOST = 6
COLOURS = {Action.ALLOW: "#2e7d32", Action.REVIEW: "#b26a00", Action.BLOCK: "#b3261e"}
FONT = 'font-family="system-ui, sans-serif" font-size="13"'


def timeline_svg(verdict: Verdict) -> str:
    """The verdict's action and reason, and for each of its first matches the upload's time line
    above the reference's, with the segments that show the same footage drawn between them: crossed
    where it is played backwards."""
    lines = textwrap.wrap(verdict.reason.text, 100)[:4]
    top = 48 + 18 * len(lines)
    parts = [*_head(verdict, lines)]
    for match in verdict.matches[:MOST]:
        parts += _match(match, verdict, top)
        top += TITLE + 2 * BAR + BETWEEN + 22
    hidden = len(verdict.matches) - MOST
    if hidden > 0:
        parts.append(_text(LEFT, top, f"and {hidden} more"))
        top += 20
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}" role="img" {FONT}>\n'
        f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _head(verdict: Verdict, lines: list[str]) -> list[str]:
    word = verdict.action.value
    parts = [
        f"<title>{escape(word)}: {escape(verdict.upload_id)}</title>",
        f'<rect x="16" y="14" width="74" height="24" rx="4" fill="{COLOURS[verdict.action]}"/>',
        _text(53, 31, word, fill="#ffffff", anchor="middle", weight="bold"),
        _text(102, 31, _short(verdict.upload_id, 56)),
    ]
    return parts + [_text(16, 58 + 18 * i, line, fill="#444444") for i, line in enumerate(lines)]


def _short(name: str, most: int) -> str:
    """So that it has room even if all of its letters are wide."""
    return name if len(name) <= most else name[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _match(match: Match, verdict: Verdict, top: float) -> list[str]:
    reference = match.reference
    ends = [p.query.end for p in match.segments]
    upload_s = max([verdict.coverage.total_s, *ends])
    reference_s = max([reference.duration_s or 0.0, *(p.reference.end for p in match.segments)])
    signals = ", ".join(f"{s.signal_type} {s.score:.2f}" for s in match.signals)
    label = f"{_short(reference.bank.name, 30)}: {reference.id} ({signals})"
    upper = top + TITLE
    lower = upper + BAR + BETWEEN
    parts = [
        _text(LEFT, top + 12, label),
        *_bar(upper, "upload", upload_s),
        *_bar(lower, "reference", reference_s),
    ]
    colour = COLOURS[reference.bank.action]
    for pair in match.segments:
        a, b = _ends(pair.query, upload_s)
        c, d = _ends(pair.reference, reference_s)
        first, last = (d, c) if pair.backwards else (c, d)
        parts += [
            f'<rect x="{a:.1f}" y="{upper}" width="{b - a:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<rect x="{c:.1f}" y="{lower}" width="{d - c:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<polygon points="{a:.1f},{upper + BAR} {b:.1f},{upper + BAR} '
            f'{last:.1f},{lower} {first:.1f},{lower}" fill="{colour}" fill-opacity="0.18"/>',
        ]
    return parts


def _bar(y: float, name: str, seconds: float) -> list[str]:
    ends = f"0 to {seconds:.1f} s" if seconds else "image"
    return [
        _text(LEFT - 10, y + 12, name, anchor="end", fill="#444444"),
        f'<rect x="{LEFT}" y="{y}" width="{WIDTH - LEFT - RIGHT}" height="{BAR}" fill="#d8dce2"/>',
        _text(WIDTH - RIGHT, y - 4, ends, anchor="end", fill="#777777"),
    ]


def _ends(shown: Segment, seconds: float) -> tuple[float, float]:
    """Where a segment begins and ends on the bar of so many seconds; an image, which has none, is
    shown as a whole."""
    width = WIDTH - LEFT - RIGHT
    if not seconds:
        return LEFT, LEFT + width
    start, end = (LEFT + width * min(1.0, at / seconds) for at in (shown.start, shown.end))
    return start, max(end, start + 2)


def _text(
    x: float,
    y: float,
    words: str,
    *,
    fill: str = "#111111",
    anchor: str = "start",
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x}" y="{y}" fill="{fill}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )
