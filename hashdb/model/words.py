"""Words that are one of a few."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What the pipeline is told to do with an upload."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        """0 for allow, 1 for review, 2 for block: the order in which actions outrank each other."""
        return ("allow", "review", "block").index(self.value)


class Standing(StrEnum):
    """What is held of a reference, by us or by a partner (python-threatexchange's words). Negative
    is what a moderator here has withdrawn."""

    POSITIVE = "positive"
    INVESTIGATION_SEED = "investigation_seed"
    NEGATIVE = "negative"
    DISPUTED = "disputed"


class Role(StrEnum):
    """What a key may do: see `api.auth`."""

    PIPELINE = "pipeline"
    MODERATOR = "moderator"
    PARTNER = "partner"
    ADMIN = "admin"


class MediaKind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"


class View(StrEnum):
    """Which part of the picture a query's frame hash was taken of."""

    FULL = "full"
    TRIMMED = "trimmed"  # borders (letter- and pillar-boxes) cut off
    PANE = "pane"  # pictures within the picture: one hash each, at up to three places
    PANE_2 = "pane2"
    PANE_3 = "pane3"

    @property
    def in_part(self) -> bool:
        """Whether it is a picture within the picture."""
        return self in (View.PANE, View.PANE_2, View.PANE_3)

    @property
    def pane(self) -> str:
        """Which picture within the picture it is; "" for the whole one, with borders or without."""
        return self.value if self.in_part else ""


class Orientation(StrEnum):
    """The eight dihedral placings of a picture, as PDQ names them: what was done to the query."""

    ORIGINAL = "original"
    ROTATE_90 = "rotate90"
    ROTATE_180 = "rotate180"
    ROTATE_270 = "rotate270"
    FLIP_VERTICAL = "flipx"
    FLIP_HORIZONTAL = "flipy"
    FLIP_PLUS = "flipplus"
    FLIP_MINUS = "flipminus"


class Rendering(StrEnum):
    """How a query's picture was laid before its local features were taken: they are not the same
    in a mirror, nor in a negative. Turned and scaled pictures need no rendering of their own."""

    PLAIN = "plain"
    MIRRORED = "mirrored"
    INVERTED = "inverted"
    MIRRORED_INVERTED = "mirrored_inverted"

    @property
    def mirrored(self) -> bool:
        return self in (Rendering.MIRRORED, Rendering.MIRRORED_INVERTED)

    @property
    def inverted(self) -> bool:
        return self in (Rendering.INVERTED, Rendering.MIRRORED_INVERTED)
