"""`ocusam track VIDEO -o OUT`: masks of any objects through any video."""

from __future__ import annotations

from ocusam.cli import console, options

EXAMPLE = "Example: ocusam track street.mp4 --point car:410,220 --point dog:120,300@15 -o results"


@console.reports_errors
def track(
    video: options.Video,
    out: options.Out,
    point: options.Points = None,
    prompts: options.Prompts = None,
    reference: options.Reference = None,
    reference_prompts: options.ReferencePrompts = None,
    model: options.Model = "nano",
    weights: options.Weights = None,
    device: options.Device = "cpu",
    views: options.Views = "none",
    zoom: options.ZoomRectangle = "off",
    overlay: options.Overlay = True,
    resume: options.Resume = False,
    snapshots: options.SnapshotFrames = 64,
    dtype: options.Dtype = "float32",
    size: options.Size = "fine",
    compiled: options.Compile = False,
    engine: options.Engine = "torch",
    times: options.Times = None,
    times_column: options.TimesColumn = None,
    times_unit: options.TimesUnit = None,
    fps: options.Fps = None,
) -> None:
    """Masks of any objects through any video: masklets/ (COCO RLE in Parquet) and overlay.mp4."""
    from ocusam.workflows.inputs.settings import RunSettings
    from ocusam.workflows.track import track as run

    pack = options.read_pack(point, prompts, reference, reference_prompts, video)
    with console.bar() as progress:
        masklets = run(
            video,
            pack,
            model=model,
            weights=weights,
            device=device,
            out=out,
            settings=RunSettings(
                views=views,
                zoom=zoom,
                overlay=overlay,
                resume=resume,
                snapshot_frames=snapshots,
                dtype=dtype,
                size=size,
                compiled=compiled,
                engine=engine,
                times=None if times is None else str(times),
                times_column=times_column,
                times_unit=times_unit,
                fps=fps,
            ),
            progress=progress,
        )
    names = ", ".join(masklets.objects)
    broken = console.BROKEN_OFF if masklets.truncated else ""
    console.out().print(f"{masklets.num_frames} frames{broken}, objects: {names}\nwritten to {out}")
