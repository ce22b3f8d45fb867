"""What the tables of events say beyond time and place: data quality of each event, and both eyes together.

Purpose: the columns `samples` to `diameter_px` of every event (`with_quality`), and `binocular` of saccades
(`with_both_eyes`).

Notable choices: the terms are those of `quality.py`, over one event instead of the recording. Expected
samples follow from the recording's median time step. A saccade is binocular where one of the other eye
overlaps it in time, which is what Engbert and Kliegl (2003, DOI 10.1016/S0042-6989(03)00084-1) ask of
microsaccades; with one eye nothing is said.

What it does not know: how the events were found (`events.py`).
"""

from __future__ import annotations

import numpy as np
import polars as pl

QUALITY_OF_EVENT: dict[str, type[pl.DataType]] = {
    "samples": pl.Int64, "data_loss": pl.Float64, "effective_frequency_hz": pl.Float64,
    "sampling_jitter_ms": pl.Float64, "doubtful_share": pl.Float64, "diameter_px": pl.Float64,
}  # fmt: skip
BINOCULAR = "binocular"
_AT_ONCE = 2000


def with_quality(events: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    """Fill the columns `QUALITY_OF_EVENT`.

    Args:
        events: of one eye, with onset_ns and offset_ns.
        samples: that they were found in: timestamp_ns, x (empty where not tracked), and optionally
            diameter_px and doubtful (bool), in order of time.

    Returns:
        The table; blinks stay empty, since they have no samples by definition.
    """
    time = samples["timestamp_ns"].to_numpy().astype(np.int64, copy=False)
    step = float(np.median(np.diff(time), overwrite_input=True)) if len(time) > 1 else 0.0
    seen = samples["x"].is_not_null().to_numpy()
    width = _column(samples, "diameter_px")
    odd = _column(samples, "doubtful")
    rows: list[tuple[object, ...]] = []
    made = [pl.DataFrame(schema=QUALITY_OF_EVENT)]
    for kind, onset, offset in events.select("event", "onset_ns", "offset_ns").iter_rows():
        if len(rows) >= _AT_ONCE:  # tuples take ten times the room of a table's rows
            made.append(pl.DataFrame(rows, schema=QUALITY_OF_EVENT, orient="row"))
            rows = []
        if kind == "blink" or step <= 0:
            rows.append((None,) * len(QUALITY_OF_EVENT))
            continue
        inside = slice(int(np.searchsorted(time, onset)), int(np.searchsorted(time, offset, side="right")))
        here = seen[inside]
        count, expected = int(here.sum()), max(1, round((offset - onset) / step) + 1)
        steps = np.diff(time[inside])
        rows.append((
            count,
            max(0.0, 1.0 - count / expected),
            count / (expected * step / 1e9),
            float(steps.std()) / 1e6 if len(steps) else None,
            None if odd is None or not count else float(odd[inside][here].mean()),
            None if width is None or not count else _median(width[inside][here]),
        ))  # fmt: skip
    made.append(pl.DataFrame(rows, schema=QUALITY_OF_EVENT, orient="row"))
    table = pl.concat(made)
    return events.with_columns(table[name] for name in QUALITY_OF_EVENT)


def with_both_eyes(events: pl.DataFrame) -> pl.DataFrame:
    """Fill the column `binocular` of saccades where a recording has two eyes or more.

    Args:
        events: of all views, with view, event, onset_ns and offset_ns.
    """
    if events["view"].n_unique() < 2:
        return events
    rows = events.select("view", "event", "onset_ns", "offset_ns").rows()
    saccades: dict[int, list[tuple[int, int]]] = {}
    for view, kind, onset, offset in rows:
        if kind == "saccade":
            saccades.setdefault(view, []).append((onset, offset))
    spans = {view: np.array(sorted(found), dtype=np.int64) for view, found in saccades.items()}
    flags = [
        _overlapped(spans, view, onset, offset) if kind == "saccade" else None
        for view, kind, onset, offset in rows
    ]
    return events.with_columns(pl.Series(BINOCULAR, flags, dtype=pl.Boolean))


def _overlapped(spans: dict[int, np.ndarray], view: int, onset: int, offset: int) -> bool:
    # Saccades of one eye do not overlap, so the first one that ends later than this begins decides.
    for other, found in spans.items():
        at = int(np.searchsorted(found[:, 1], onset))
        if other != view and at < len(found) and found[at, 0] <= offset:
            return True
    return False


def _column(samples: pl.DataFrame, name: str) -> np.ndarray | None:
    if name not in samples.columns:
        return None
    return samples[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
