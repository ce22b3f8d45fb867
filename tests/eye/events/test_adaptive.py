"""Our threshold and that of pymovements, on the same movements."""

import numpy as np

from ocusam.eye.events.adaptive import outside_ellipse, scatter, smoothed_velocities


def test_the_numbers_are_those_of_pymovements() -> None:
    from pymovements.events.detection.microsaccades import compute_threshold, microsaccades
    from pymovements.transforms.numpy import pos2vel

    rng = np.random.default_rng(4)
    xy = np.cumsum(rng.normal(0, 0.05, (3000, 2)), axis=0) + np.repeat(rng.normal(0, 4, (30, 2)), 100, axis=0)
    xy[700:720] = xy[2990:2991] = np.nan
    velocity = smoothed_velocities(xy, 250.0)
    np.testing.assert_array_equal(velocity, pos2vel(xy, sampling_rate=250.0, method="smooth"))
    usual = scatter(velocity)
    np.testing.assert_array_equal(usual, compute_threshold(velocity, method="engbert2015"))
    theirs = microsaccades(velocity, minimum_duration=0, threshold=usual, threshold_factor=6.0).frame
    fast = np.zeros(len(xy), dtype=bool)
    for onset, offset in theirs.select("onset", "offset").iter_rows():
        fast[onset : offset + 1] = True
    np.testing.assert_array_equal(outside_ellipse(velocity, usual * 6.0), fast)
    assert len(theirs) > 20
