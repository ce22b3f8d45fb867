"""A long video is followed in memory that does not grow."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.writer import VideoWriter


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_three_thousand_frames_of_a_file(network, clip, tmp_path):
    path = tmp_path / "long.mp4"
    with VideoWriter(path, 100, (40, 56)) as writer:
        for t in range(3000):
            writer.write(clip[t % 12])
    predictor = SAM2VideoPredictor(network)
    state = predictor.init_state(path)
    for obj_id, point in enumerate([[14, 20], [40, 10]]):
        predictor.add_new_points_or_box(state, 0, obj_id, points=[point], labels=[1])
    sizes = []
    for output in predictor.propagate(state):
        assert output.logits.shape == (2, 1, 40, 56)
        sizes.append(resident_mb())
    assert len(sizes) == 3000
    assert np.max(sizes[100:]) - sizes[100] < 50
