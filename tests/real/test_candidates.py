"""On the annotated recordings the likeliest place of the clicked frame is the pupil. (No network.)"""

from pathlib import Path

import numpy as np
import pytest

from ocusam.eye.candidates import find_candidates
from ocusam.video.reader import open_video
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.scoring.annotations import read_annotations


@pytest.mark.parametrize("name", ["d1", "d2", "d3", "d4"])
def test_the_likeliest_place_is_the_pupil(name: str, shared_dir: Path) -> None:
    clips = read_annotations(shared_dir / "data" / "annotations.json")
    clip = next(c for c in clips if c.name == name)
    with open_video(clip.path) as source:
        for eye, view in clip.eyes(plan_views(source.size)).items():
            truth = next(a for a in clip.annotations if a.eye == eye and a.frame_idx >= 60 and a.pupil)
            assert truth.pupil is not None
            x0, y0, x1, y1 = view.region
            found = find_candidates(source.read(truth.frame_idx).image[y0:y1, x0:x1], bright=False)
            place = found[0].ellipse.translated(x0, y0)
            assert truth.pupil.contains(np.array(place.center)), (eye, truth.frame_idx)
            assert place.iou(truth.pupil) > 0.5, (eye, truth.frame_idx)
