"""Options that several commands share, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocusam.core.prompts import ObjectPrompt, PromptPack, merge_prompts, parse_point

Video = Annotated[
    Path,
    typer.Argument(
        help="Video file, a TIFF stack, a folder of pictures (JPEG, PNG, TIFF, BMP), or a recording of "
        "Neon, Tobii Glasses 2 or Pupil Core (folder or eye video).",
        show_default=False,
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="Folder to write; must not hold another run.", show_default=False)
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        "-p",
        metavar="NAME:X,Y[@FRAME]",
        show_default=False,
        help="A click, px of the picture; repeat for more. -NAME:X,Y is a point not on it.",
    ),
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        show_default=False,
        help="Prompts from a file: prompts.json (every run writes one), a tab-separated table "
        "(class, x, y, 1|0), or a folder of them.",
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        show_default=False,
        help="Annotated picture of the participant, any size, shown to the network before the first frame.",
    ),
]
ReferencePrompts = Annotated[
    Path | None,
    typer.Option(
        "--reference-prompts",
        show_default=False,
        help="What is annotated on it: prompts.json or a table, px of that picture.",
    ),
]
Model = Annotated[str, typer.Option("--model", "-m", help="Name of the network, see `ocusam models`.")]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", "-w", show_default=False, help="Checkpoint; default: the packaged weights of nano."
    ),
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="float32|bfloat16|float16",
        help="Type of the network's numbers. bfloat16 is faster where the processor has it (AVX512-BF16, "
        "AMX); a pupil's centre then moves by hundredths of a pixel on most frames, an iris's by more. "
        "float16 is for GPUs.",
    ),
]
Size = Annotated[
    str,
    typer.Option(
        "--size",
        metavar="fine|fast|PIXELS",
        help="Side of the square picture that the network sees, px, a multiple of 32; time goes with its "
        "area, about. fine is the network's own (nano: 256), fast a smaller one (nano: 160) for speed.",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Send the network through torch.compile before the first frame (minutes, needs a C++ compiler); "
        "for a GPU, where thousands of frames follow.",
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="torch|openvino",
        help="What runs the network. openvino takes less time on the CPU, with the same results but for "
        "rounding; it needs `pip install openvino`, and some seconds before the first frame.",
    ),
]
Views = Annotated[
    str, typer.Option("--views", help="Several eyes in one picture: auto, none, or COLUMNSxROWS such as 2x1.")
]
Zoom = Annotated[
    str,
    typer.Option(
        "--zoom",
        metavar="auto|off|X0,Y0,X1,Y1",
        help="Track in a rectangle around the eye, px of the picture, with all of the network's resolution: "
        "auto looks for one before tracking where the eye is small in the picture. Several eyes: one "
        "rectangle each, separated by ;",
    ),
]
ZoomRectangle = Annotated[
    str,
    typer.Option(
        "--zoom",
        metavar="off|X0,Y0,X1,Y1",
        help="Track in a rectangle only, px of the picture.",
    ),
]
Overlay = Annotated[bool, typer.Option("--overlay/--no-overlay", help="Write overlay.mp4.")]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the run that the folder holds, from where it was broken off; begin where it holds "
        "none. Prompts may be left out then; everything else must be as it was.",
    ),
]
SnapshotFrames = Annotated[
    int,
    typer.Option(
        "--snapshots",
        metavar="FRAMES",
        help="Store the tracker's memory every so many frames, for `ocusam correct` (0: hardly any). nano "
        "takes 0.25 MB an object each time.",
    ),
]
Glints = Annotated[
    str,
    typer.Option(
        help="Corneal reflections in signals.csv, with their pupil-reflection vectors: auto (those clicked, "
        "or else what is found near the pupil by picture processing), a number from 1 to 8 (look for at "
        "most so many), or off.",
    ),
]
MmPerPx = Annotated[
    float | None,
    typer.Option(
        "--mm-per-px",
        metavar="MM",
        help="Pupil diameters in mm too (diameter_mm in signals.csv), by a stated scale: mm in one px of the "
        "picture at the distance of the eye, above 0. Not together with --iris-mm.",
    ),
]
IrisMm = Annotated[
    float | None,
    typer.Option(
        "--iris-mm",
        metavar="MM",
        help="Pupil diameters in mm too (diameter_mm in signals.csv), by an assumed diameter of the visible "
        "iris, mm, above 0 (adults: about 11.7, SD 0.42 between people). The iris must be tracked. Not "
        "together with --mm-per-px.",
    ),
]
Times = Annotated[
    Path | None,
    typer.Option(
        "--times",
        metavar="FILE",
        show_default=False,
        help="A time for every frame, in place of the video's own: a table (CSV, TSV; with or without a "
        "header) or a NumPy file. Numbers in s unless the column's name or --times-unit says otherwise, or "
        "dates (ISO 8601).",
    ),
]
TimesColumn = Annotated[
    str | None,
    typer.Option(
        "--times-column",
        metavar="NAME",
        show_default=False,
        help="Which column of --times holds them; default: the one called time, timestamp or the like.",
    ),
]
TimesUnit = Annotated[
    str | None,
    typer.Option("--times-unit", metavar="s|ms|us|ns", show_default=False, help="Their unit."),
]
Fps = Annotated[
    float | None,
    typer.Option(
        "--fps",
        metavar="HZ",
        show_default=False,
        help="Frames per second, in place of the video's own times: for pictures, which carry none (else 30 "
        "are assumed), and for videos whose times are wrong. Not together with --times.",
    ),
]
Recover = Annotated[
    bool,
    typer.Option(
        "--recover/--no-recover",
        help="Look again for a pupil that has been lost for longer than a blink (half a second and 10 "
        "frames), and click it where one convinces; run.json says where.",
    ),
]
ClearClicks = Annotated[
    bool,
    typer.Option(
        "--clear-clicks/--bare-clicks",
        help="Where it is clear which outline a single click on a pupil or an iris means, by the network's "
        "answers and the picture's edges, start from its mask; or always from the click alone. nano only.",
    ),
]
CrossNegatives = Annotated[
    bool,
    typer.Option(
        "--cross-negatives", help="Use clicks on the pupil as points not on the iris, and the like."
    ),
]


def read_points(points: list[str] | None) -> list[ObjectPrompt]:
    """Prompts of the --point options.

    Raises:
        PromptError: one cannot be read.
    """
    return merge_prompts(parse_point(text) for text in points or [])


def read_pack(
    points: list[str] | None,
    prompts: Path | None = None,
    reference: Path | None = None,
    reference_prompts: Path | None = None,
    video: Path | None = None,
) -> PromptPack:
    """All prompts of a command: --prompts, --point on top of them, the reference picture before the video.

    Raises:
        OcusamError: a file or a point that cannot be read; a reference picture without its prompts, or the
            other way round.
    """
    from ocusam.workflows.inputs.prompt_tables import collect_prompts

    return collect_prompts(points or (), prompts, reference, reference_prompts, video)
