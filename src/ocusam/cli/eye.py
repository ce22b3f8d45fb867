"""`ocusam eye VIDEO -o OUT`: eye movements from an eye video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocusam.cli import console, options

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

UNEVEN = 0.1
"""Standard deviation of the time between frames, as a share of its median, from which it is told."""
EXAMPLE = "Example: ocusam eye recording.mp4 --point pupil:320,240 --point iris:390,306 -o results"


@console.reports_errors
def eye(
    video: options.Video,
    out: options.Out,
    point: options.Points = None,
    prompts: options.Prompts = None,
    reference: options.Reference = None,
    reference_prompts: options.ReferencePrompts = None,
    model: options.Model = "nano",
    weights: options.Weights = None,
    device: options.Device = "cpu",
    views: options.Views = "auto",
    zoom: options.Zoom = "auto",
    overlay: options.Overlay = True,
    report: options.Report = True,
    cross_negatives: options.CrossNegatives = False,
    resume: options.Resume = False,
    snapshots: options.SnapshotFrames = 64,
    recover: options.Recover = True,
    clear_clicks: options.ClearClicks = True,
    dtype: options.Dtype = "float32",
    size: options.Size = "fine",
    compiled: options.Compile = False,
    engine: options.Engine = "torch",
    glints: options.Glints = "auto",
    mm_per_px: options.MmPerPx = None,
    iris_mm: options.IrisMm = None,
    times: options.Times = None,
    times_column: options.TimesColumn = None,
    times_unit: options.TimesUnit = None,
    fps: options.Fps = None,
) -> None:
    """Eye movements from an eye video: tables (signals, blinks, events, quality, doubtful frames), masks,
    overlay.mp4 and report.html.

    Without --point and --prompts the pupil is looked for in the first minute, with iris and reflections
    where they show clearly; what was chosen is printed and stored in run.json. If nothing convinces, it says
    which frame to click.
    """
    from ocusam.workflows.eye import track_eye
    from ocusam.workflows.inputs.settings import RunSettings

    pack = options.read_pack(point, prompts, reference, reference_prompts, video)
    settings = RunSettings(
        views=views,
        zoom=zoom,
        overlay=overlay,
        report=report,
        cross_negatives=cross_negatives,
        resume=resume,
        snapshot_frames=snapshots,
        recover=recover,
        clear_clicks=clear_clicks,
        dtype=dtype,
        size=size,
        compiled=compiled,
        engine=engine,
        glints=glints,
        mm_per_px=mm_per_px,
        iris_mm=iris_mm,
        times=None if times is None else str(times),
        times_column=times_column,
        times_unit=times_unit,
        fps=fps,
    )
    with console.bar() as progress:
        recording = track_eye(
            video,
            pack,
            model=model,
            weights=weights,
            device=device,
            out=out,
            settings=settings,
            progress=progress,
        )
    screen = console.out()
    for found in (recording.found or {}).get("eyes", []):
        screen.print(describe_found(found))
    for line in describe_zoom(recording.zoom):
        screen.print(line)
    for again in recording.recoveries:
        screen.print(describe_recovery(again))
    for scale in recording.scale or []:
        screen.print(describe_scale(scale))
    broken = console.BROKEN_OFF if recording.truncated else ""
    speed = f", {recording.fps:.1f} frames/s" if recording.fps else ""  # nothing was left to track
    blinks = console.counted(len(recording.blinks), "blink")
    screen.print(f"{console.counted(recording.num_frames, 'frame')}{broken}{speed}, {blinks}")
    for row in recording.quality.iter_rows(named=True):
        screen.print(
            f"view {row['view']} {row['object']}: tracked {row['tracked']}, blink {row['blink']}, "
            f"lost {row['lost']}, data loss {row['data_loss']:.1%}"
        )
    for line in [*describe_nominal(out), *describe_clock(recording.quality)]:
        screen.print(line)
    screen.print(f"written to {out}")


def describe_nominal(run: Path) -> list[str]:
    """A line where the times of a run in a folder are a guess."""
    from ocusam.workflows.inputs.frame_times import NOMINAL
    from ocusam.workflows.session.resume import read_record

    rate, found, _ = str((read_record(run) or {}).get("input", {}).get("clock")).partition(NOMINAL)
    if not found:
        return []
    return [
        f"there are no times in the pictures or the file: {rate} frames per second are assumed, and all "
        "times, durations and velocities rest on that; give --fps or --times (into another folder)"
    ]


def describe_clock(quality: pl.DataFrame) -> list[str]:
    """A line where frames do not follow each other evenly: how many the clock has room for, or how uneven
    they are. All views have the same frames, so the first with anything tracked tells it."""
    known = quality.filter((quality["data_loss"] < 1.0) & (quality["tracked"] > 0))
    if known.is_empty() or known["sampling_hz"][0] is None:  # one frame, or times that stand still
        return []
    row = known.row(0, named=True)
    room = round(row["tracked"] / (1.0 - row["data_loss"]))
    if room - row["frames"] > 0.01 * room:
        return [
            f"at {row['sampling_hz']:g} Hz there is room for {room} frames from the first to the last; the "
            f"{room - row['frames']} that are not in the video count as data loss"
        ]
    usual_ms = 1000.0 / row["sampling_hz"]
    if (row["sampling_jitter_ms"] or 0.0) > UNEVEN * usual_ms:
        return [
            f"frames do not come evenly (from one to the next a median of {usual_ms:.1f} ms, standard "
            f"deviation {row['sampling_jitter_ms']:.1f} ms); the tables have the true times"
        ]
    return []


def describe_found(eye: dict[str, Any]) -> str:
    """One line on what the search says of one view."""
    if not eye["found"]:
        return f"view {eye['view']}: no eye found, not tracked"
    x, y = eye["click"]
    return (
        f"view {eye['view']}: found by itself, pupil:{x:g},{y:g}@{eye['frame_idx']} "
        f"(score {eye['score']:.2f} of 1; check the overlay)"
    )


def describe_zoom(zoom: dict[str, Any] | None) -> list[str]:
    """Lines on what was decided about the rectangle to track in, and how that went."""
    if zoom is None:
        return []
    lines = [f"no zoom: {zoom['why']}"] if "views" not in zoom and not zoom["used"] else []
    for view in zoom.get("views", []):
        if "region" in view:
            region = ",".join(map(str, view["region"]))
            lines.append(f"view {view['view']}: zoom on {region}, the eye {view['gain']:.1f} times as large")
        else:
            lines.append(f"view {view['view']}: no zoom, {view['why']}")
    for at in zoom.get("at_border", []):
        lines.append(
            f"view {at['view']}: the eye came to the border of the zoom on {at['frames']} frames, first on "
            f"frame {at['first_frame']} (see doubtful.csv). If masks are wrong there, run again with --zoom "
            f"{at['larger']} or --zoom off."
        )
    return lines


def describe_scale(scale: dict[str, Any]) -> str:
    """One line on where an eye's mm come from."""
    factor = scale["mm_per_px"]
    if factor is None:
        return f"view {scale['view']}: no iris seen well enough for a scale, diameter_mm is empty"
    if "iris_px" not in scale:
        return f"view {scale['view']}: {factor:.5g} mm per px, as stated"
    return (
        f"view {scale['view']}: {factor:.5g} mm per px, if its iris ({scale['iris_px']:.1f} px, median of "
        f"{scale['frames']} frames, scatter {scale['scatter']:.1%}) measures {scale['iris_mm']:g} mm"
    )


def describe_recovery(again: dict[str, Any]) -> str:
    """One line on a pupil that was lost and found again."""
    x, y = again["click"]
    return (
        f"view {again['view']}: {again['object']} lost on frame {again['lost_since_frame']}, found again by "
        f"itself, {again['object']}:{x:g},{y:g}@{again['frame_idx']} (score {again['score']:.2f} of 1; check "
        "the overlay)"
    )
