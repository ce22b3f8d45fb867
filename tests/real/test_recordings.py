"""Capture times of the recordings beside the repository."""

from pathlib import Path

import numpy as np

from ocusam.video.reader import open_video
from ocusam.workflows.inputs.views import plan_views


def test_neon(shared_dir: Path) -> None:
    with open_video(shared_dir / "data" / "neon") as source:
        assert (source.num_frames, source.size, source.truncated) == (827 + 809, (192, 384), False)
        assert len(plan_views(source.size)) == 2
        times = source.timestamps_ns
        assert times[0] == 1728546126508032160 and times[-1] == 1728546150819550160
        assert 195 < (source.fps or 0) < 205
        # The second part begins where the first has ended: its first picture is that of its own file.
        with open_video(shared_dir / "data" / "neon" / "Neon Sensor Module v1 ps2.mp4") as part:
            assert (source.read(827).image == part.read(0).image).all() and times[827] == part.timestamps_ns[
                0
            ]


def test_tobii(shared_dir: Path) -> None:
    with open_video(shared_dir / "data" / "tobii_glasses_2") as source:
        assert (source.num_frames, len(plan_views(source.size))) == (1388, 4)
        times = source.timestamps_ns
        assert times[0] == 485_578_030_000
        assert np.median(np.diff(times)) == 20_000_000
