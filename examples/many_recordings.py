"""How do I measure a whole study? A list of recordings, one call, a table of what became of each.

    python examples/many_recordings.py

The same from the command line: `ocusam batch recordings.csv -o results --jobs 4`. Run it again after a
failure or a power cut: only what is missing is done.
"""

from pathlib import Path

import polars as pl

import ocusam
from ocusam.synthetic.eye import lab_style
from ocusam.video.writer import VideoWriter
from ocusam.workflows.batch import BatchOptions, run_batch
from ocusam.workflows.inputs.recording_list import list_recordings
from ocusam.workflows.inputs.settings import RunSettings


def make_study(folder: Path, participants: int, num_frames: int) -> Path:
    """Render one short video per participant; returns the list with a click for each."""
    rows = []
    for seed in range(1, participants + 1):
        clip = ocusam.render_eye_clip(seed, num_frames=num_frames, style=lab_style())
        with VideoWriter(folder / f"p{seed:02d}.mp4", 120.0, clip.frames.shape[1:]) as video:
            for frame in clip.frames:
                video.write(frame)
        pupil = clip.ellipses["pupil"][0]
        assert pupil is not None
        x, y = pupil.center
        rows.append(
            {"video": f"p{seed:02d}.mp4", "participant": f"p{seed:02d}", "point": f"pupil:{x:.1f},{y:.1f}"}
        )
    pl.DataFrame(rows).write_csv(folder / "recordings.csv")
    return folder / "recordings.csv"


def main(folder: Path = Path("study"), participants: int = 3, num_frames: int = 60) -> pl.DataFrame:
    """Track every recording of a made-up study, two at a time; returns the summary."""
    folder.mkdir(exist_ok=True)
    recordings = list_recordings(make_study(folder, participants, num_frames), folder / "results")
    options = BatchOptions("nano", settings=RunSettings(overlay=False, report=False), jobs=2)
    result = run_batch(recordings, folder / "results", options)
    print(result.summary.select("recording", "status", "frames", "share_tracked", "blinks", "message"))

    # All signals of the study in one table; each recording has a folder of its own.
    signals = [
        pl.read_csv(Path(row["out"]) / "signals.csv").with_columns(
            pl.lit(row["participant"]).alias("participant")
        )
        for row in result.summary.filter(pl.col("status") == "finished").iter_rows(named=True)
    ]
    if signals:
        pupils = pl.concat(signals, how="vertical_relaxed").filter(pl.col("object") == "pupil")
        print(pupils.group_by("participant", maintain_order=True).agg(pl.col("major_px").median()))
    return result.summary


if __name__ == "__main__":
    main()
