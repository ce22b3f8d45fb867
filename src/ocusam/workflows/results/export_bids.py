"""Signals as a BIDS dataset: eye tracking as physiological recordings (BIDS 1.11).

Purpose: `sub-01/beh/sub-01_task-reading_recording-eye1_physio.tsv.gz` with its JSON, and
`..._physioevents.tsv.gz` with blinks and, where they were looked for, fixations and saccades. Checked with
the official validator, bids-validator-deno 3.0.2 (schema 1.2.7).

Notable choices: one file per eye (view), `recording-eye1` for view 0 and so on. Where `ocusam gaze` has been
at work on the run, the coordinates are gaze: on the screen in px where the screen is known ("gaze-on-screen",
with the screen in `..._events.json`), else in degrees; the pupil's centre follows in columns of its own.
Without, they are the centre of the pupil in the picture of the eye camera: the coordinate system is
"custom", and said in words. Which eye it is must be told; BIDS requires it, and no picture says it. Times are
those of the recording, in seconds, with nanoseconds where it has them. Rows of frames without a pupil stay,
as n/a. `dataset_description.json`, `participants.tsv` and `README` are made where they are absent, and only a
missing participant is added; existing recordings are not overwritten unless asked.

What it does not know: when the scanner or the stimulus started (`StartTime` is 0 unless given), and what was
shown: `..._events.tsv` says no more than that there was a recording.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import polars as pl

from ocusam.core.errors import InputError, OutputError
from ocusam.core.version import __version__
from ocusam.eye.calibration import GAZE_COLUMNS
from ocusam.eye.scale import BY_IRIS, DIAMETER_MM
from ocusam.eye.signals import TRACKED
from ocusam.eye.targets import Screen
from ocusam.workflows.results.export_tables import eyes_of_views, has_mm
from ocusam.workflows.results.finished_run import FinishedRun
from ocusam.workflows.results.gaze_files import SCREEN_COLUMNS, read_gaze, screen_of
from ocusam.workflows.session.atomic import write_bytes

BIDS_VERSION = "1.11.1"
EYES = ("left", "right", "cyclopean")
MM = "pupil_size_mm"
_LABEL = re.compile(r"[0-9a-zA-Z]+")
_README = """\
# Eye tracking

Pupils followed in videos of the eye with ocusam. Each `_physio.tsv.gz` holds one eye: the size of the pupil,
and as coordinates gaze, or the pupil's centre in the picture of the eye camera; its JSON says which. Each
`_physioevents.tsv.gz` holds its blinks, and fixations and saccades where they were looked for.
"""


@dataclass(frozen=True)
class BidsLabels:
    """Where a recording belongs in a dataset; labels are letters and digits.

    Attributes:
        subject: participant, without `sub-`.
        task: what was done.
        session: or None.
        run: number from 1, or None.
        eyes: "left", "right", "cyclopean" or "-" (left out) for each view.
        start_s: time of the first frame after the start of the neural data, seconds.
        overwrite: replace the files of the same recording.

    Raises:
        InputError: a label with other characters.
    """

    subject: str
    task: str
    eyes: Sequence[str]
    session: str | None = None
    run: int | None = None
    start_s: float = 0.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        for what, label in (("subject", self.subject), ("task", self.task), ("session", self.session)):
            if label is not None and not _LABEL.fullmatch(label):
                raise InputError(
                    f"The {what} label {label!r} may have letters and digits only, as BIDS wants it."
                )
        if self.run is not None and self.run < 1:
            raise InputError(f"run={self.run}: runs count from 1.")

    def stem(self, root: Path, eye: int | None) -> Path:
        """Path of an eye's files without their suffix; None: of those of the whole recording."""
        parts = [f"sub-{self.subject}"]
        folder = root / parts[0]
        if self.session is not None:
            parts.append(f"ses-{self.session}")
            folder /= parts[1]
        parts.append(f"task-{self.task}")
        if self.run is not None:
            parts.append(f"run-{self.run}")
        parts += [f"recording-eye{eye}"] if eye is not None else []
        return folder / "beh" / "_".join(parts)


def write_bids(run: FinishedRun, root: str | Path, labels: BidsLabels) -> list[Path]:
    """Add a recording to a BIDS dataset.

    Args:
        run: a run of `ocusam eye`.
        root: folder of the dataset; made where it is absent.
        labels: where it belongs.

    Returns:
        The files of the recording.

    Raises:
        InputError: no pupil was tracked; `labels.eyes` do not fit the views.
        OutputError: the recording is there already, or cannot be written.
    """
    root = Path(root)
    files: dict[Path, bytes] = {}
    gaze = _gaze(run)
    for view, eye in eyes_of_views(labels.eyes, run.views, EYES).items():
        pupil = run.signals.filter((pl.col("object") == "pupil") & (pl.col("view") == view)).sort("frame_idx")
        if pupil.is_empty():
            continue
        stem = labels.stem(root, view + 1)
        samples = _samples(pupil) if gaze is None else _gaze_samples(pupil, gaze)
        events = _events(run.blinks, run.events if gaze is None else gaze.events, view)
        files[stem.with_name(f"{stem.name}_physio.tsv.gz")] = _tsv(samples)
        files[stem.with_name(f"{stem.name}_physio.json")] = _json(
            _physio_sidecar(run, pupil, samples, eye, labels)
            | ({} if gaze is None else _gaze_sidecar(gaze, view))
        )
        files[stem.with_name(f"{stem.name}_physioevents.tsv.gz")] = _tsv(events)
        files[stem.with_name(f"{stem.name}_physioevents.json")] = _json(_events_sidecar(events, labels))
    if not files:
        raise InputError(f"{run.folder} holds no pupil of the eyes asked for.")
    if gaze is not None and gaze.screen is not None:
        files |= _screen_files(labels.stem(root, None), gaze.screen, run, labels.task)
    there = [path for path in files if path.exists()]
    if there and not labels.overwrite:
        raise OutputError(f"{there[0]} exists already; give another session or run, or --overwrite.")
    _dataset(root, labels.subject)
    for path, data in files.items():
        write_bytes(path, data)
    return list(files)


def _samples(pupil: pl.DataFrame) -> pl.DataFrame:
    seen = pl.col("state") == TRACKED

    def number(column: str) -> pl.Expr:
        return pl.when(seen).then(pl.col(column)).otherwise(None).round(4)

    return pupil.select(
        _seconds("timestamp_ns").alias("timestamp"),
        number("center_x_px").alias("x_coordinate"),
        number("center_y_px").alias("y_coordinate"),
        number("major_px").alias("pupil_size"),
        number("minor_px").alias("pupil_minor_axis"),
        number("angle_deg").alias("pupil_angle"),
        *([number(DIAMETER_MM).alias(MM)] if has_mm(pupil) else []),
        number("predicted_iou").alias("predicted_iou"),
        seen.cast(pl.Int64).alias("tracked"),
    )


@dataclass(frozen=True, eq=False)
class _Gaze:
    """What `ocusam gaze` has written."""

    table: pl.DataFrame
    events: pl.DataFrame
    record: dict[str, Any]
    screen: Screen | None

    @property
    def columns(self) -> tuple[str, str]:
        """Those that hold the coordinates."""
        return SCREEN_COLUMNS if self.screen is not None else GAZE_COLUMNS


def _gaze(run: FinishedRun) -> _Gaze | None:
    """None where there is none, or it is older than the signals."""
    found = read_gaze(run.folder, run.folder / "signals.csv")
    if found is None:
        return None
    table, events, record = found
    screen = screen_of(record) if set(SCREEN_COLUMNS) <= set(table.columns) else None
    return _Gaze(table, events, record, screen)


def _gaze_samples(pupil: pl.DataFrame, gaze: _Gaze) -> pl.DataFrame:
    """As `_samples`, with gaze for coordinates, and the pupil's centre at the end."""
    samples = _samples(pupil)
    places = pupil.select("frame_idx", "view").join(
        gaze.table.select("frame_idx", "view", *gaze.columns), on=["frame_idx", "view"], how="left",
        maintain_order="left",
    )  # fmt: skip
    x, y = (places[c].cast(pl.Float64).round(4) for c in gaze.columns)
    return samples.with_columns(
        samples["x_coordinate"].alias("pupil_x"),
        samples["y_coordinate"].alias("pupil_y"),
        x.alias("x_coordinate"),
        y.alias("y_coordinate"),
    )


def _gaze_sidecar(gaze: _Gaze, view: int) -> dict[str, Any]:
    """What differs where coordinates are gaze."""
    mine = [row for row in gaze.record.get("summary", []) if row.get("view") == view]
    out: dict[str, Any] = {"CalibrationCount": max(len(mine), 1)}
    errors = [float(row["accuracy_deg"]) for row in mine if row.get("accuracy_deg") is not None]
    if errors:  # the field takes one number; calibrations count alike
        out["AverageCalibrationError"] = round(sum(errors) / len(errors), 4)
    if gaze.screen is not None:
        where, units = "on the screen, from its upper left", "pixel"
        out["SampleCoordinateSystem"] = "gaze-on-screen"
        out["SampleCoordinateSystemDescription"] = "Gaze on the screen; x to the right, y down."
    else:
        where, units = "angle from straight ahead", "degree"
        out["SampleCoordinateSystemDescription"] = (
            "Gaze in degrees from straight ahead, x to the right, y down, by a calibration on targets."
        )
    names = {"x_coordinate": "Horizontal", "y_coordinate": "Vertical"}
    out |= {name: _column(f"{which} gaze, {where}.", units) for name, which in names.items()}
    pupil = {"pupil_x": "Horizontal", "pupil_y": "Vertical"}
    eye = "position of the pupil's centre in the picture of the eye camera."
    return out | {name: _column(f"{which} {eye}", "pixel") for name, which in pupil.items()}


def _screen_files(stem: Path, screen: Screen, run: FinishedRun, task: str) -> dict[Path, bytes]:
    """`..._events.tsv` with one row for the whole recording, and its JSON with the screen."""
    time = run.signals["timestamp_ns"]
    length = (int(str(time.max())) - int(str(time.min()))) / 1e9
    text = f"onset\tduration\ttrial_type\n0\t{length:.6f}\trecording\n"
    about = {
        "TaskName": task,
        "StimulusPresentation": {
            "ScreenDistance": screen.distance_mm / 1000.0,
            "ScreenOrigin": ["top", "left"],
            "ScreenResolution": list(screen.size_px),
            "ScreenSize": [mm / 1000.0 for mm in screen.size_mm],
        },
        "trial_type": {"Description": "The whole recording; what was shown is not known."},
    }
    return {
        stem.with_name(f"{stem.name}_events.tsv"): text.encode(),
        stem.with_name(f"{stem.name}_events.json"): _json(about),
    }


def _events(blinks: pl.DataFrame, found: pl.DataFrame | None, view: int) -> pl.DataFrame:
    blinks = blinks.filter(pl.col("view") == view)
    spans = blinks.select("onset_ns", "offset_ns", pl.lit("blink").alias("trial_type"))
    if found is not None and found.height:
        rest = found.filter((pl.col("view") == view) & (pl.col("event") != "blink"))
        spans = pl.concat([spans, rest.select("onset_ns", "offset_ns", pl.col("event").alias("trial_type"))])
    inside = [
        int(any(onset < b1 and offset > b0 for b0, b1 in blinks.select("onset_ns", "offset_ns").rows()))
        for onset, offset in spans.select("onset_ns", "offset_ns").rows()
    ]
    return (
        spans.with_columns(pl.Series("blink", inside, dtype=pl.Int64))
        .sort("onset_ns", "trial_type")
        .select(
            _seconds("onset_ns").alias("onset"),
            _seconds(pl.col("offset_ns") - pl.col("onset_ns")).alias("duration"),
            "trial_type",
            "blink",
        )
    )


def _seconds(value: str | pl.Expr) -> pl.Expr:
    """Nanoseconds as a decimal text in seconds: a float does not hold today's date to a nanosecond."""
    ns = pl.col(value) if isinstance(value, str) else value
    fraction = (ns.abs() % 1_000_000_000).cast(pl.String).str.zfill(9)
    sign = pl.when(ns < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return pl.concat_str([sign, (ns.abs() // 1_000_000_000).cast(pl.String), pl.lit("."), fraction])


def _physio_sidecar(
    run: FinishedRun, pupil: pl.DataFrame, samples: pl.DataFrame, eye: str, labels: BidsLabels
) -> dict[str, Any]:
    step = pupil["timestamp_ns"].diff().median()
    hz = 1e9 / float(step) if isinstance(step, int | float) and step > 0 else run.record["input"].get("fps")
    if not hz:
        raise InputError(f"{run.folder}: one frame without a frame rate has no sampling frequency.")
    height, width = run.size
    where = f"in the picture of the eye camera, {width} x {height} px (width x height)"
    origin = "Origin at the centre of the upper left pixel, x to the right, y down."
    clock = run.record["input"].get("clock", "presentation times")
    return {
        "TaskName": labels.task,
        "SamplingFrequency": round(hz, 6),
        "StartTime": labels.start_s,
        "Columns": samples.columns,
        "PhysioType": "eyetrack",
        "RecordedEye": eye,
        "SampleCoordinateSystem": "custom",
        "SampleCoordinateSystemDescription": f"Centre of the pupil {where}. {origin} Not a gaze direction.",
        "EyeTrackingMethod": "Video-based; the pupil is segmented in every frame with SAM 2 (ocusam).",
        "PupilFitMethod": "ellipse",
        "SoftwareName": "ocusam",
        "SoftwareVersions": run.record.get("ocusam", __version__),
        "Model": _model(run),
        "timestamp": _column(f"Time stamp of the frame; clock: {clock}.", "s"),
        "x_coordinate": _column(f"Horizontal position of the pupil's centre {where}.", "pixel"),
        "y_coordinate": _column(f"Vertical position of the pupil's centre {where}.", "pixel"),
        "pupil_size": _column("diameter: major axis (full) of the ellipse of the whole pupil.", "pixel"),
        **_mm(run, samples, int(pupil["view"][0])),
        "pupil_minor_axis": _column("Minor axis (full) of that ellipse.", "pixel"),
        "pupil_angle": _column("Direction of the major axis from +x, clockwise on screen, 0-180.", "degree"),
        "predicted_iou": _column("The network's estimate of its mask's quality, 0 to 1.", "arbitrary"),
        "tracked": _column("1: the pupil is seen and measured; 0: blink or lost, values n/a.", "arbitrary"),
    }


def _model(run: FinishedRun) -> dict[str, Any]:
    """The network as run.json has it, but of its weights the name of the file: a data set that is published
    does not tell where they lay."""
    model = dict(run.record.get("model", {}))
    if model.get("weights"):
        model["weights"] = PureWindowsPath(model["weights"]).name
    return model


def _mm(run: FinishedRun, samples: pl.DataFrame, view: int) -> dict[str, Any]:
    """What the diameter in mm is, where there is one."""
    if MM not in samples.columns:
        return {}
    scales: list[dict[str, Any]] = run.record.get("scale") or []
    known = next((s for s in scales if s["view"] == view), {})
    how = f"{known['mm_per_px']:.5g} mm per px" if known.get("mm_per_px") else "a scale"
    if known.get("by") == BY_IRIS:
        how += f", by an assumed diameter of the visible iris of {known['iris_mm']:g} mm"
    return {MM: _column(f"pupil_size in mm: times {how}, the same for the whole recording.", "mm")}


def _events_sidecar(events: pl.DataFrame, labels: BidsLabels) -> dict[str, Any]:
    return {
        "TaskName": labels.task,
        "Columns": events.columns,
        "Description": "Blinks, and fixations and saccades where they were looked for.",
        "OnsetSource": "timestamp",
        "onset": _column("Begin of the event, on the clock of the column timestamp.", "s"),
        "duration": _column("Length of the event.", "s"),
        "trial_type": {"Description": "Kind of event."},
        "blink": {
            "Description": "Whether the event is, or overlaps with, a blink.",
            "Levels": {"0": "no", "1": "yes"},
        },
    }


def _column(description: str, units: str) -> dict[str, str]:
    return {"Description": description, "Units": units}


def _dataset(root: Path, subject: str) -> None:
    """What every dataset has, where it is absent."""
    description = {
        "Name": root.resolve().name or "Eye tracking",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "ocusam", "Version": __version__}],
    }
    for name, data in (("dataset_description.json", _json(description)), ("README", _README.encode())):
        if not any(root.glob(f"{name}*")):
            write_bytes(root / name, data)
    participants = root / "participants.tsv"
    lines = (
        participants.read_text(encoding="utf-8").splitlines() if participants.exists() else ["participant_id"]
    )
    if f"sub-{subject}" not in {line.split("\t")[0] for line in lines}:
        columns = len(lines[0].split("\t"))
        lines.append("\t".join([f"sub-{subject}", *["n/a"] * (columns - 1)]))
        write_bytes(participants, ("\n".join(lines) + "\n").encode())


def _tsv(table: pl.DataFrame) -> bytes:
    """Compressed, without a header, the same bytes for the same table."""
    text = table.write_csv(include_header=False, separator="\t", null_value="n/a")
    return gzip.compress(text.encode("utf-8"), mtime=0)


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
