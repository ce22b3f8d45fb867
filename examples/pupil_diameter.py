"""How wide is the pupil over time? From a video to a table, in one call.

    python examples/pupil_diameter.py

`recording.signals` is a polars table with one row per frame and object; lost frames have rows too.
"""

import polars as pl

import ocusam
from ocusam.synthetic.eye import lab_style


def main(num_frames: int = 60, seed: int = 1) -> pl.DataFrame:
    """Measure the pupil of a rendered clip; returns time, measured and true diameter."""
    clip = ocusam.render_eye_clip(seed, num_frames=num_frames, style=lab_style())
    first = clip.ellipses["pupil"][0]
    assert first is not None

    recording = ocusam.track_eye(clip.frames, {"pupil": first.center})

    truth = pl.DataFrame(
        {
            "frame_idx": range(num_frames),
            "true_px": [None if e is None else e.major for e in clip.ellipses["pupil"]],
        }
    )
    table = (
        recording.signals.filter(pl.col("object") == "pupil")
        .join(truth, on="frame_idx")
        .select(
            (pl.col("timestamp_ns") / 1e9).alias("seconds"),
            "state",
            pl.col("major_px").alias("diameter_px"),
            "true_px",
        )
    )
    print(table)
    error = (table["diameter_px"] - table["true_px"]).abs().median()
    print(f"median error: {'nothing was measured' if error is None else f'{error:.2f} px'}")
    print(f"blinks: {len(recording.blinks)}")
    return table


if __name__ == "__main__":
    main()
