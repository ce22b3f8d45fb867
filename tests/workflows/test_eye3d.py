"""`ocusam eye3d` with a stand-in for pye3d: tables, what reads them, and what is refused."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from gazing_eye import NINE, TARGETS, recording, write_run
from ocusam.cli.main import app
from ocusam.core.errors import InputError
from ocusam.eye.sphere import EYE3D_COLUMNS, EyeCamera
from ocusam.workflows.eye import EyeRecording
from ocusam.workflows.eye3d import run_eye3d
from ocusam.workflows.results.export_tables import pupil_positions
from ocusam.workflows.results.finished_run import open_run

STAND_IN = '''
class Model:
    def estimate_sphere_center(self, calculate_rms_residual=False):
        return (0.0, 0.0), (0.0, 0.0, 40.0), 0.25

class Detector3D:
    """An eye whose axis goes through the pupil's centre, 10 px a degree."""
    asked = []
    def __init__(self, camera, **settings):
        self.camera, self.settings, self.long_term_model = camera, settings, Model()
        self.is_long_term_model_frozen = False
        Detector3D.asked.append(self)
    def update_and_detect(self, datum, frame, apply_refraction_correction=True):
        import math
        print("pye3d prints what it likes")
        (x, y), (w, h) = datum["ellipse"]["center"], self.camera.resolution
        a, b = math.radians((x - w / 2) / 10), math.radians((y - h / 2) / 10)
        n = (math.tan(a), math.tan(b), -1.0)
        length = math.sqrt(sum(v * v for v in n))
        n = tuple(v / length for v in n)
        major = datum["ellipse"]["axes"][1]
        return {
            "model_confidence": 1.0, "sphere": {"center": (0.0, 0.0, 40.0), "radius": 10.39},
            "circle_3d": {"center": (0.0, 0.0, 30.0), "normal": n, "radius": major / 40},
            "diameter_3d": major / 20, "theta": 1.5, "phi": -1.5, "ellipse": datum["ellipse"],
            "projected_sphere": {"center": (w / 2, h / 2), "axes": (300.0, 300.0), "angle": 0.0},
        }
'''
CAMERA = (
    "from collections import namedtuple\nCameraModel = namedtuple('CameraModel', 'focal_length resolution')\n"
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", recording(NINE))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    package = types.ModuleType("pye3d")
    package.__version__ = "0.0.stand-in"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pye3d", package)
    for name, code in (("detector_3d", STAND_IN), ("camera", CAMERA)):
        module = types.ModuleType(f"pye3d.{name}")
        exec(code, module.__dict__)
        monkeypatch.setitem(sys.modules, f"pye3d.{name}", module)
    return sys.modules["pye3d.detector_3d"]


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, " ".join(result.stdout.split()), " ".join(result.stderr.split())


def test_a_run_gets_its_model(run: Path, stand_in: Any) -> None:
    code, out, err = call("eye3d", run, "--focal-length", 620)
    assert code == 0, err
    assert "eyeball at (0.0, 0.0, 40.0) mm" in out and "miss the eyeball's centre by 0.25 mm" in out
    table = pl.read_csv(run / "eye3d.csv", schema_overrides=EYE3D_COLUMNS)
    assert table.columns == list(EYE3D_COLUMNS)
    signals = open_run(run).signals.filter(pl.col("object") == "pupil").sort("frame_idx")
    blinks = signals["state"] != "tracked"
    assert blinks.any() and table["diameter_mm"].is_null().to_list() == blinks.to_list()
    mm = table["diameter_mm"].drop_nulls().to_numpy()
    assert mm == pytest.approx(signals.filter(~blinks)["major_px"].to_numpy() / 20, abs=1e-5)
    record = json.loads((run / "eye3d.json").read_text())
    assert (record["pye3d"], record["fit"], record["refraction"]) == ("0.0.stand-in", "whole", True)
    (detector,) = stand_in.Detector3D.asked
    assert detector.camera == (620.0, (640, 480)) and detector.is_long_term_model_frozen
    run_eye3d(run, fov_deg=54.6)
    assert stand_in.Detector3D.asked[-1].camera.focal_length == pytest.approx(620, abs=1)
    code, out, _ = call("eye3d", run, "--focal-length", 620, "--fit", "running", "--no-refraction")
    assert code == 0 and "miss the eyeball's centre" not in out
    assert stand_in.Detector3D.asked[-1].settings == {}


def test_pupil_core_gets_both_kinds_of_rows(run: Path, stand_in: Any) -> None:
    flat = pupil_positions(open_run(run))
    run_eye3d(run, focal_px=620.0)
    both = pupil_positions(open_run(run))
    assert both.columns == flat.columns
    solid = both.filter(pl.col("method") == "pye3d 0.0.stand-in post-hoc")
    tracked = flat.filter(pl.col("confidence") > 0)
    assert len(both) == len(flat) + len(tracked) and len(solid) == len(tracked)
    assert solid["sphere_center_z"].unique().to_list() == [40.0]
    for name in ("ellipse_center_x", "ellipse_center_y", "ellipse_axis_b", "norm_pos_x", "norm_pos_y"):
        assert solid[name].to_numpy() == pytest.approx(tracked[name].to_numpy(), abs=0.51), name
    assert solid["model_id"].null_count() == 0 and flat["diameter_3d"].null_count() == len(flat)
    # A correction makes the model old: it is not exported any more.
    signals = pl.read_csv(run / "signals.csv")
    signals.write_csv(run / "signals.csv", float_precision=2)
    assert len(pupil_positions(open_run(run))) == len(flat)


def test_gaze_is_calibrated_on_the_direction(run: Path, stand_in: Any) -> None:
    TARGETS.write_csv(run.parent / "targets.csv")
    arguments = ("gaze", run, "--targets", run.parent / "targets.csv", "--feature", "eye3d", "--no-report")
    code, _, err = call(*arguments)
    assert code == 2 and "run `ocusam eye3d` before" in err
    recording_ = EyeRecording.load(run)
    model = recording_.eye3d(EyeCamera(620.0))
    assert not (run / "eye3d.csv").exists() and len(model.table) == 9 * 120
    run_eye3d(run, focal_px=620.0)
    code, out, err = call(*arguments)
    assert code == 0 and "view 0: eye3d," in out, err
    summary = json.loads((run / "calibration.json").read_text())["summary"][0]
    assert summary["accuracy_deg"] < 0.5
    other = write_run(run.parent / "task", recording(NINE[:3]))
    with_model = ("gaze", other, "--calibration", run / "calibration.json", "--no-report")
    code, _, err = call(*with_model)
    assert code == 2 and "needs a model of the eyeball" in err
    run_eye3d(other, focal_px=620.0)
    assert call(*with_model)[0] == 0
    gaze = pl.read_csv(other / "gaze.csv").filter(pl.col("frame_idx").is_between(60, 119))
    assert gaze["gaze_x_deg"].median() == pytest.approx(-12.0, abs=0.6)


def test_pye3d_in_another_python(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "elsewhere" / "pye3d"
    package.mkdir(parents=True)
    for name, code in (("__init__", "__version__ = '1.2'"), ("detector_3d", STAND_IN), ("camera", CAMERA)):
        (package / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    found = run_eye3d(run, focal_px=620.0, python=sys.executable)
    assert found.version == "1.2" and np.isfinite(found.table["diameter_mm"].drop_nulls().to_numpy()).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs the eye camera's focal length: give --focal-length PX, --fov DEG"),
        (["--focal-length", "620", "--fov", "60"], "One of them, not 2"),
        (["--focal-length", "0"], "above 0"),
        (["--fov", "190"], "between 1 and 170"),
        (["--camera", "none.json"], "no calibration of a camera"),
        (["--focal-length", "620"], "pip install pye3d"),
        (["--focal-length", "620", "--pye3d-python", sys.executable], "pip install pye3d"),
        (["--focal-length", "620", "--pye3d-python", "/no/python"], "cannot be started"),
    ],
)
def test_command_lines_that_are_refused(
    run: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OCUSAM_PYE3D_PYTHON", raising=False)
    monkeypatch.setitem(sys.modules, "pye3d", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "pye3d.detector_3d", None)
    code, _, err = call("eye3d", run, *arguments)
    assert code == 2 and message in err and "Traceback" not in err, err
    assert not (run / "eye3d.csv").exists()


def test_another_numpy_is_told(run: Path, stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("numpy.dtype size changed, may indicate binary incompatibility")

    monkeypatch.setattr(stand_in, "Detector3D", fail)
    with pytest.raises(InputError, match=r"dtype size changed.*numpy 1.*environment of its own"):
        run_eye3d(run, focal_px=620.0)
