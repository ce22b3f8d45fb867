"""`ocusam eye VIDEO -o OUT`: eye movements from an eye video."""

from __future__ import annotations

from ocusam.cli import console, options

EXAMPLE = "Example: ocusam eye recording.mp4 --point pupil:320,240 --point iris:390,306 -o results"


@console.reports_errors
def eye(
    video: options.Video,
    out: options.Out,
    point: options.Points = None,
    model: options.Model = "nano",
    weights: options.Weights = None,
    device: options.Device = "cpu",
    views: options.Views = "auto",
    overlay: options.Overlay = True,
    cross_negatives: options.CrossNegatives = False,
) -> None:
    """Eye movements from an eye video: signals.csv, blinks.csv, quality.csv, masks, overlay.mp4."""
    from ocusam.workflows.eye import track_eye
    from ocusam.workflows.settings import RunSettings

    prompts = options.read_points(point)
    settings = RunSettings(views=views, overlay=overlay, cross_negatives=cross_negatives)
    with console.bar() as progress:
        recording = track_eye(
            video,
            prompts,
            model=model,
            weights=weights,
            device=device,
            out=out,
            settings=settings,
            progress=progress,
        )
    screen = console.out()
    broken = " (the video breaks off here: it announces more)" if recording.truncated else ""
    screen.print(
        f"{recording.num_frames} frames{broken}, {recording.fps:.1f} frames/s, {len(recording.blinks)} blinks"
    )
    for row in recording.quality.iter_rows(named=True):
        screen.print(
            f"view {row['view']} {row['object']}: tracked {row['tracked']}, blink {row['blink']}, "
            f"lost {row['lost']}, data loss {row['data_loss']:.1%}"
        )
    screen.print(f"written to {out}")
