"""A run's clock comes back from its record."""

from pathlib import Path

import numpy as np
import pytest

from ocusam.workflows.inputs.frame_times import open_timed
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.clock_record import clock_record, settings_of_record

PICTURES = np.zeros((3, 4, 6), np.uint8)


@pytest.mark.parametrize("given", ["fps", "times", "none"])
def test_a_corrected_run_keeps_its_clock(given: str, tmp_path: Path) -> None:
    table = tmp_path / "cam.csv"
    table.write_text("frame;ttl\n1;7000\n2;7033\n3;7067\n")
    settings = {
        "fps": RunSettings(size="fast", fps=200.0),
        "times": RunSettings(size="fast", times=str(table), times_column="ttl", times_unit="ms"),
        "none": RunSettings(size="fast"),
    }[given]
    with open_timed(PICTURES, settings) as source:
        record = {"settings": settings.to_dict(), "input": clock_record(settings, source, tmp_path / "run")}
        wanted = source.timestamps_ns.tolist()
    back = settings_of_record(record, tmp_path / "run")
    with open_timed(PICTURES, back) as source:
        assert source.timestamps_ns.tolist() == wanted and len(set(wanted)) == 3
    assert (back.size, back.fps, back.times_column) == (settings.size, settings.fps, settings.times_column)
