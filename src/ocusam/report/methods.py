"""A paragraph for the methods section of a paper, from what a run has written.

Purpose: what the reporting guideline for eye tracking (Dunn et al. 2023, DOI 10.3758/s13428-023-02187-1) asks
for, as far as a recording knows it: apparatus, software, events, calibration, data quality.

What it does not know: participants, tasks, the model of the camera; they are the author's to add.
"""

from __future__ import annotations

import statistics
from typing import Any

import polars as pl

from ocusam.eye.events import FIXATION, SACCADE, EventRules
from ocusam.eye.scale import IRIS_SD_SHARE, STATED
from ocusam.eye.signals import KNOWN_PATTERN
from ocusam.report.gaze_section import number_of_calibrations
from ocusam.report.tables import ReportTables, event_unit

_DETECTORS = {
    "adaptive": "the velocity threshold of Engbert and Kliegl (2003; lambda = {factor:g})",
    "ivt": "a velocity threshold (I-VT, Salvucci and Goldberg 2000; {velocity} {unit}/s)",
    "idt": "a dispersion threshold (I-DT, Salvucci and Goldberg 2000; {dispersion} {unit})",
    "remodnav": "REMoDNaV (Dar, Wagner and Hanke 2021)",
}
_SOURCES = {
    "fissure": "area between the lids",
    "eye": "area between the lids as the network sees it without a prompt",
    "iris": "visible share of the iris",
    "pupil": "visible share of the pupil",
}


def methods(tables: ReportTables, record: dict[str, Any]) -> str:
    """The paragraph, in the guideline's order.

    Args:
        tables: of the run.
        record: `run.json`.
    """
    pupil = tables.quality.filter(pl.col("object") == "pupil")
    sentences = [
        _apparatus(pupil, record),
        _clock(record),
        "The pupil was segmented in every frame by SAM 2's streaming memory, its outline completed by an "
        "ellipse fitted to the visible rim; pupil size is the major axis of that ellipse.",
        f"Blinks (n = {len(tables.blinks)}) were detected from the lid opening{_sources(tables)}, "
        "onset and offset at 10 % of the amplitude; no pupil values are given where the pupil is covered, "
        "and no sample was interpolated or filtered.",
        *_scales(record.get("scale") or []),
    ]
    lamps = tables.quality.filter(pl.col("object").str.contains(f"^({KNOWN_PATTERN})$"))
    if len(lamps):
        names = ", ".join(sorted(lamps["object"].unique().to_list()))
        sentences.append(
            f"Corneal reflections ({names}) were located in the picture as the intensity-weighted centre of "
            "the bright spot, and told apart by their places relative to the pupil and to each other."
        )
    if tables.calibration is not None:
        sentences += _calibrated(tables.calibration)
    sentences.append(_events(tables))
    sentences += [_quality(row) for row in pupil.iter_rows(named=True)]
    return " ".join(sentence for sentence in sentences if sentence)


def _apparatus(pupil: pl.DataFrame, record: dict[str, Any]) -> str:
    model, source, versions = record.get("model", {}), record.get("input", {}), record.get("versions", {})
    height, width = (source.get("size_hw") or ["?", "?"])[:2]
    hz = pupil["sampling_hz"].drop_nulls().to_list()
    rate = f", {statistics.median(hz):.1f} Hz" if hz else ""
    weights = str(model.get("weights_sha256", "unknown"))[:12]
    return (
        f"Eye videos ({width} x {height} px{rate}) were analysed with ocusam {record.get('ocusam', '?')} "
        f"(network {model.get('model', '?')}, weights SHA-256 {weights}…, "
        f"input {model.get('image_size', '?')} px; Python {versions.get('python', '?')}, torch "
        f"{versions.get('torch', '?')}, pymovements {versions.get('pymovements', '?')})."
    )


def _clock(record: dict[str, Any]) -> str:
    """Where times come from: readers cannot know whether they are those of capture."""
    clock = record.get("input", {}).get("clock")
    if clock is None:
        return ""
    if clock == "presentation times":
        return "Times are the presentation times of the video file, which need not be those of capture."
    return f"Times of the frames: {clock}."


def _scales(scales: list[dict[str, Any]]) -> list[str]:
    """Where diameters in mm come from (`eye.scale.PupilScale`)."""
    out = []
    for scale in scales:
        of = f"Pupil diameters of view {scale['view']} in mm are the major axis in px"
        if scale["mm_per_px"] is None:
            out.append(f"View {scale['view']} has no pupil diameters in mm: no iris was seen well enough.")
        elif scale["by"] == STATED:
            out.append(f"{of} times a stated scale of {scale['mm_per_px']:.5g} mm per px.")
        else:
            out.append(
                f"{of} times {scale['mm_per_px']:.5g} mm per px, which follows from an assumed diameter of "
                f"the visible iris of {scale['iris_mm']:g} mm and its major axis of {scale['iris_px']:.1f} "
                f"px (median of {scale['frames']} frames with the rim well seen, robust SD of single frames "
                f"{scale['scatter']:.1%}); iris diameters differ between people by {IRIS_SD_SHARE:.1%} (SD; "
                "Rüfer, Schröder and Erb 2005), which is not corrected, nor are changes of distance."
            )
    return out


def _calibrated(calibration: dict[str, Any]) -> list[str]:
    out, count = [], number_of_calibrations(calibration)
    if count > 1:
        out.append(
            f"Gaze was calibrated {count} times; every sample was mapped by the last calibration begun "
            "before it, those before the first by the first; no event runs across a change of calibration."
        )
    for row in calibration.get("summary", []):
        which = f" by calibration {row['calibration']}" if count > 1 else ""
        feature = (
            f"the vector from the corneal reflection {row['reflection']} to the pupil"
            if row["reflection"]
            else "the pupil's centre"
        )
        size = ", with a correction for pupil size" if row["with_size"] else ""
        left_out = f" ({row['left_out']} more could not be used)" if row.get("left_out") else ""
        text = (
            f"Gaze of view {row['view']}{which} was computed from {feature} by a {row['model']} "
            f"polynomial{size}, fitted to {row['targets']} targets{left_out} and chosen by leave-one-out; "
            f"mean error {row['accuracy_deg']:.2f}° (leave-one-out)"
        )
        if row.get("validation_accuracy_deg") is not None and not calibration.get("validations"):
            text += (
                f", {row['validation_accuracy_deg']:.2f}° on {row['validation_targets']} validation targets"
            )
        if row.get("precision_rms_s2s_deg") is not None:
            text += f"; precision RMS-S2S {row['precision_rms_s2s_deg']:.3f}°"
            text += f", STD {row['precision_std_deg']:.3f}°"
        out.append(text + ".")
    return out + [_validated(row, count) for row in calibration.get("validations") or []]


def _validated(row: dict[str, Any], count: int) -> str:
    """What one validation says of one eye."""
    head, since = f"Validation {row['validation']} of view {row['view']}", row["since_calibration_s"]
    which = f"calibration {row['calibration']}" if count > 1 else "the calibration"
    if since is not None:
        when = f"{since:.0f} s after" if since >= 0 else f"{-since:.0f} s before"
        head += f", {when} {which},"
    if row["accuracy_deg"] is None:
        return f"{head} had no target that could be used."
    return (
        f"{head} on {row['targets']} validation targets: mean error {row['accuracy_deg']:.2f}°, worst target "
        f"{row['accuracy_max_deg']:.2f}°; mean offset ({row['drift_x_deg']:+.2f}°, "
        f"{row['drift_y_deg']:+.2f}°), not corrected."
    )


def _events(tables: ReportTables) -> str:
    found, rules, on = (
        tables.events,
        tables.rules,
        "the pupil centre in px of the picture, without calibration",
    )
    if tables.gaze_events is not None:
        known = (tables.calibration or {}).get("event_rules") or {}
        found, rules, on = tables.gaze_events, EventRules(**known), "gaze in degrees"
    unit = event_unit(found)
    by = _DETECTORS[rules.method].format(
        factor=rules.factor,
        velocity=rules.velocity_threshold or 30,
        dispersion=rules.dispersion_threshold or 1,
        unit=unit,
    )
    counts = {kind: len(found.filter(pl.col("event") == kind)) for kind in (SACCADE, FIXATION)}
    return (
        f"Saccades (n = {counts[SACCADE]}) and fixations (n = {counts[FIXATION]}; at least "
        f"{rules.min_fixation_ms:g} ms) were detected with {by} on {on}."
    )


def _quality(row: dict[str, Any]) -> str:
    parts = [f"data loss {row['data_loss']:.1%}"]
    for key, name in (("precision_rms_s2s_px", "RMS-S2S"), ("precision_std_px", "STD")):
        if row.get(key) is not None:
            parts.append(f"{name} {row[key]:.3f} px")
    if row.get("effective_frequency_hz") is not None:
        parts.append(f"effective frequency {row['effective_frequency_hz']:.1f} Hz")
    return f"View {row['view']}: {', '.join(parts)} (precision: medians over windows of 200 ms)."


def _sources(tables: ReportTables) -> str:
    """What it was told from, in brackets; nothing without blinks, whose table says it."""
    found = sorted(set(tables.blinks["source"].drop_nulls())) if "source" in tables.blinks.columns else []
    return f" (source: {', '.join(_SOURCES.get(str(s), str(s)) for s in found)})" if found else ""
