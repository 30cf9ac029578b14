"""Figures that anyone can measure again."""

from __future__ import annotations

from pathlib import Path

from api.settings import Settings

SAMPLING_KEY = "every run looks at the same pictures"


def settings(folder: Path | str, **more: str) -> Settings:
    """Those of an installation in a folder of its own, and `more` (SEAWALL_...). Of the same upload
    every run looks at the same pictures."""
    own = {"SEAWALL_DATA_DIR": str(folder), "SEAWALL_SAMPLING_KEY": SAMPLING_KEY}
    return Settings.from_env({**own, **more})
