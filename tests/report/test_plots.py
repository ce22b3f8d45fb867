import numpy as np

from ocusam.report.plots import thin


def test_thinning_keeps_spikes_and_gaps() -> None:
    time, values = np.arange(120_000) / 200, np.sin(np.arange(120_000) / 500)
    values[70_001] = 9.0
    values[80_000:80_040] = np.nan
    t, v = thin(time, values, 4000)
    assert len(t) == len(v) <= 6000
    assert 9.0 in v and None in v
    inside = [x for s, x in zip(t, v, strict=True) if 400.0 < s < 400.19]
    assert set(inside) <= {None}
    assert t == sorted(t)


def test_a_short_trace_stays_as_it_is() -> None:
    t, v = thin(np.arange(5.0), np.array([1.0, np.nan, 0.12345, 2.0, np.inf]))
    assert t == [0, 1, 2, 3, 4] and v == [1.0, None, 0.123, 2.0, None]
