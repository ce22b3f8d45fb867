"""`ocusam masks IMAGE -o OUT`: everything in a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocusam.cli import console, options

EXAMPLE = (
    "Example: ocusam masks street.jpg --model sam2.1_hiera_tiny --weights sam2.1_hiera_tiny.pt -o results"
)


@console.reports_errors
def masks(
    image: Annotated[Path, typer.Argument(help="Picture, JPEG or PNG among others.", show_default=False)],
    out: options.Out,
    model: options.Model = "nano",
    weights: options.Weights = None,
    device: options.Device = "cpu",
    size: options.Size = "fine",
    points_per_side: Annotated[
        int, typer.Option("--points-per-side", help="Clicks along each side; time grows with its square.")
    ] = 32,
    points_per_batch: Annotated[
        int, typer.Option("--points-per-batch", help="Clicks at once; fewer need less memory.")
    ] = 64,
    pred_iou_thresh: Annotated[
        float, typer.Option("--pred-iou-thresh", help="Drop masks the network itself rates lower, 0 to 1.")
    ] = 0.8,
    stability_score_thresh: Annotated[
        float, typer.Option("--stability-score-thresh", help="Drop masks with blurrier edges, 0 to 1.")
    ] = 0.95,
    stability_score_offset: Annotated[
        float, typer.Option("--stability-score-offset", help="Shift of the logit that stability compares.")
    ] = 1.0,
    box_nms_thresh: Annotated[
        float, typer.Option("--box-nms-thresh", help="IoU of boxes from which masks count as duplicates.")
    ] = 0.7,
    crop_n_layers: Annotated[
        int, typer.Option("--crop-n-layers", help="Look again at 2x2 (1), and 4x4 (2) parts, enlarged.")
    ] = 0,
    crop_nms_thresh: Annotated[
        float,
        typer.Option("--crop-nms-thresh", help="As --box-nms-thresh, between parts; the smaller part wins."),
    ] = 0.7,
    crop_overlap_ratio: Annotated[
        float,
        typer.Option("--crop-overlap-ratio", help="Overlap of parts, share of the picture's shorter side."),
    ] = 512 / 1500,
    crop_n_points_downscale_factor: Annotated[
        int,
        typer.Option(
            "--crop-n-points-downscale-factor", help="Divide clicks per side by this in each further layer."
        ),
    ] = 1,
    min_mask_region_area: Annotated[
        int,
        typer.Option(
            "--min-mask-region-area", help="Fill holes, remove islands of fewer px of the picture; 0: none."
        ),
    ] = 0,
    use_m2m: Annotated[
        bool, typer.Option("--use-m2m/--no-m2m", help="Refine each mask once with itself; slower.")
    ] = False,
    multimask_output: Annotated[
        bool, typer.Option("--multimask/--single-mask", help="Three masks for each click, or one.")
    ] = True,
) -> None:
    """Find everything in a picture: masks.json (COCO), masks.png (all masks drawn) and run.json."""
    from ocusam.workflows.masks import MaskSettings, find_masks

    settings = MaskSettings(
        points_per_side=points_per_side,
        points_per_batch=points_per_batch,
        pred_iou_thresh=pred_iou_thresh,
        stability_score_thresh=stability_score_thresh,
        stability_score_offset=stability_score_offset,
        box_nms_thresh=box_nms_thresh,
        crop_n_layers=crop_n_layers,
        crop_nms_thresh=crop_nms_thresh,
        crop_overlap_ratio=crop_overlap_ratio,
        crop_n_points_downscale_factor=crop_n_points_downscale_factor,
        min_mask_region_area=min_mask_region_area,
        use_m2m=use_m2m,
        multimask_output=multimask_output,
    )
    with console.bar(image.name, unit="clicks") as progress:
        found = find_masks(
            image,
            model=model,
            weights=weights,
            device=device,
            out=out,
            settings=settings,
            size=size,
            progress=progress,
        )
    screen = console.out()
    screen.print(f"{len(found.records)} masks in {found.seconds:.1f} s")
    if not found.records:
        screen.print(
            "none is good enough: lower --pred-iou-thresh or --stability-score-thresh (nano knows eyes only, "
            "and its edges are soft: 0.6 and 0.3)"
        )
    screen.print(f"written to {out}")
