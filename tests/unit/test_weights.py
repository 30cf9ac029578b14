"""What one picture says, one by one and many at once."""

from __future__ import annotations

import numpy as np
import pytest

from matcher.score import WEIGHTS


@pytest.mark.parametrize("signal_type", WEIGHTS)
def test_one_says_what_it_says_among_many(signal_type: str) -> None:
    weight, distances = WEIGHTS[signal_type], np.arange(257)
    assert [weight.at(d) for d in distances.tolist()] == weight.of(distances).tolist()
