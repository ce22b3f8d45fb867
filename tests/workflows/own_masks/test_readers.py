"""Every format gives the same square: what is drawn is where the picture is bright."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocusam.core.errors import InputError
from ocusam.training.own_clips import AnnotatedVideo
from ocusam.workflows.own_masks.annotated import Polygon
from ocusam.workflows.own_masks.coco import coco
from ocusam.workflows.own_masks.folders import davis, run
from ocusam.workflows.own_masks.tools import cvat, labelme
from ocusam.workflows.session.masklets import encode

SIZE = (40, 60)
CORNERS = [[10, 5], [30, 5], [30, 25], [10, 25]]


def _mask(k: int = 0) -> np.ndarray[Any, Any]:
    mask = np.zeros(SIZE, np.uint8)
    mask[5:25, 10 + 5 * k : 30 + 5 * k] = 1
    return mask


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three pictures, `f0.png` and so on, in which the square wanders to the right."""
    (tmp_path / "images").mkdir()
    for k in range(3):
        Image.fromarray(_mask(k) * 255).save(tmp_path / "images" / f"f{k}.png")
    return tmp_path


def _moved(k: int) -> list[list[float]]:
    return [[x + 5.0 * k, float(y)] for x, y in CORNERS]


def _check(video: AnnotatedVideo, name: str, frames: int) -> None:
    assert video.count == frames
    for k in range(frames):
        picture, masks = video.read(k)
        assert picture.shape == (*SIZE, 3) and set(masks) == {name}
        assert np.array_equal(masks[name], picture[..., 0] > 128), k


def test_a_polygon_covers_the_pixels_inside_it() -> None:
    assert np.array_equal(Polygon(tuple(map(tuple, CORNERS)))(SIZE), _mask() > 0)  # type: ignore[arg-type]
    half = Polygon(((10.0, 5.0), (30.3, 5.0), (30.3, 25.0), (10.0, 25.0)))(SIZE)
    assert np.array_equal(half, _mask() > 0)  # less than half of a column is not covered
    outside = Polygon(((100.0, 100.0), (120.0, 100.0), (110.0, 120.0)))(SIZE)
    assert not outside.any()


@pytest.mark.parametrize("form", ["polygon", "mask", "group"])
def test_labelme(home: Path, form: str) -> None:
    for k in range(3):
        shape: dict[str, Any] = {"label": "cup", "shape_type": "polygon", "points": _moved(k)}
        if form == "mask":
            file = io.BytesIO()
            Image.fromarray(np.full((20, 20), 255, np.uint8)).save(file, "PNG")
            text = base64.b64encode(file.getvalue()).decode()
            corner = [10 + 5 * k, 5]
            shape = {"label": "cup", "shape_type": "mask", "points": [corner, [0, 0]], "mask": text}
        if form == "group":
            shape["group_id"] = 4
        box = {"label": "ignored", "shape_type": "rectangle", "points": [[0, 0], [5, 5]]}
        data = {"imagePath": f"images\\f{k}.png", "shapes": [shape, box]}
        (home / f"f{k}.json").write_text(json.dumps(data))
    name = "cup-4" if form == "group" else "cup"
    alone = labelme(home, None, {})
    assert len(alone) == 3
    _check(alone[0], name, 1)
    (together,) = labelme(home, home / "images", {name: "mug"}, sequence=True)
    _check(together, "mug", 3)


def test_cvat_pictures(home: Path) -> None:
    points = [";".join(f"{x},{y}" for x, y in _moved(k)) for k in range(3)]
    (home / "annotations.xml").write_text(
        "<annotations>"
        f'<image id="0" name="f0.png"><polygon label="cup" points="{points[0]}"/></image>'
        '<image id="1" name="f1.png">'
        '<mask label="cup" rle="0, 400" left="15" top="5" width="20" height="20"/>'
        '<box label="cup" xtl="0" ytl="0" xbr="9" ybr="9"/></image>'
        f'<image id="2" name="f2.png"><polygon label="cup" points="{points[2]}"/></image>'
        "</annotations>"
    )
    assert len(cvat(home, None, {})) == 3
    _check(cvat(home, None, {}, sequence=True)[0], "cup", 3)


def test_cvat_tracks(home: Path) -> None:
    points = [";".join(f"{x},{y}" for x, y in _moved(k)) for k in range(3)]
    shapes = "".join(f'<polygon frame="{k}" outside="{int(k == 1)}" points="{points[k]}"/>' for k in range(3))
    (home / "t.xml").write_text(f'<annotations><track id="7" label="cup">{shapes}</track></annotations>')
    (video,) = cvat(home / "t.xml", home / "images", {})
    assert [set(video.read(k)[1]) for k in range(3)] == [{"cup"}, set(), {"cup"}]
    assert np.array_equal(video.read(2)[1]["cup"], _mask(2) > 0)
    with pytest.raises(InputError, match="say where it is"):
        cvat(home / "t.xml", None, {})


def _rle(k: int) -> dict[str, Any]:
    return {"size": list(SIZE), "counts": encode(_mask(k) > 0).decode()}


def test_coco_instances(home: Path) -> None:
    images = [{"id": k, "file_name": f"f{k}.png", "height": SIZE[0], "width": SIZE[1]} for k in range(3)]
    segmentations: list[Any] = [_rle(0), [np.ravel(_moved(1)).tolist()], _rle(2)]
    annotations = [
        {"id": k, "image_id": k, "category_id": 1, "segmentation": s} for k, s in enumerate(segmentations)
    ]
    data = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cup"}]}
    (home / "c.json").write_text(json.dumps(data))
    assert len(coco(home / "c.json", home / "images", {})) == 3
    _check(coco(home / "c.json", home / "images", {}, sequence=True)[0], "cup", 3)
    data["annotations"].append(annotations[0] | {"id": 9})
    (home / "c.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="need 'track_id'"):
        coco(home / "c.json", home / "images", {}, sequence=True)
    data["annotations"] = [annotations[0] | {"segmentation": {"size": [4, 4], "counts": [3, 2]}}]
    (home / "c.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="do not fill 4 x 4"):
        coco(home / "c.json", home / "images", {})


def test_coco_videos(home: Path) -> None:
    data = {
        "videos": [{"id": 1, "file_names": [f"f{k}.png" for k in range(3)], "height": 40, "width": 60}],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [
            {"id": 1, "video_id": 1, "category_id": 1, "segmentations": [_rle(0), None, _rle(2)]}
        ],
    }
    (home / "v.json").write_text(json.dumps(data))
    (video,) = coco(home / "v.json", home / "images", {})
    assert [set(video.read(k)[1]) for k in range(3)] == [{"cup"}, set(), {"cup"}]
    (home / "w.json").write_text('{"annotations": [{"segmentation": [[1]]}]}')
    with pytest.raises(InputError, match="not in COCO's form"):
        coco(home / "w.json", None, {})


def test_davis_with_the_names_that_an_export_wrote(home: Path) -> None:
    (home / "video").mkdir()
    for k in range(3):
        Image.fromarray(_mask(k) * 3).save(home / "video" / f"f{k}.png")
    (home / "video.objects.json").write_text('{"3": "cup"}')
    (video,) = davis(home / "video", home / "images", {})
    _check(video, "cup", 3)
    with pytest.raises(InputError, match="say where the pictures are"):
        davis(home / "video", None, {})


def test_a_run_of_ours(home: Path) -> None:
    from ocusam.core.masklet import ObjectFrame, View
    from ocusam.workflows.session.masklets import MaskletWriter

    writer = MaskletWriter(home / "run/masklets", SIZE)
    view = View(0, (0, 0, SIZE[1], SIZE[0]))
    for k in range(3):
        mask = _mask(k) > 0
        writer.add([ObjectFrame(k, k, view, "pupil", np.zeros((4, 4), np.float32), mask, 0.9, 3.0)])
    writer.finish()
    (home / "run/run.json").write_text(json.dumps({"input": {"path": str(home / "images")}}))
    (video,) = run(home / "run", None, {})
    _check(video, "pupil", 3)
    (home / "run/run.json").unlink()
    with pytest.raises(InputError, match="names no video"):
        run(home / "run", None, {})
