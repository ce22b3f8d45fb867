from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ocusam.core.errors import InputError
from ocusam.core.masklet import ObjectFrame, View
from ocusam.workflows.session.masklets import Masklets, MaskletWriter, decode, encode

SIZE = (40, 60)


def object_frame(frame: int, name: str = "pupil", view: View | None = None) -> ObjectFrame:
    view = view or View(0, (0, 0, 60, 40))
    mask = np.zeros(view.size, bool)
    mask[5 : 10 + frame % 5, 3:9] = True
    return ObjectFrame(frame, frame * 100, view, name, np.zeros((4, 4), np.float32), mask, 0.5, 1.5)


def test_rle_there_and_back() -> None:
    mask = np.random.default_rng(0).random((17, 31)) > 0.5
    assert (decode(encode(mask), (17, 31)) == mask).all()
    assert not decode(encode(np.zeros((5, 6), bool)), (5, 6)).any()


@pytest.mark.parametrize("on_disk", [True, False])
def test_masks_come_back_whatever_the_order(on_disk: bool, tmp_path: Path) -> None:
    writer = MaskletWriter(tmp_path / "m" if on_disk else None, SIZE, chunk_frames=4)
    order = [5, 6, 7, 8, 9, 4, 3, 2, 1, 0]
    for frame in order:
        writer.add([object_frame(frame), object_frame(frame, "iris")])
    masklets = writer.finish()
    assert masklets.objects == ["iris", "pupil"]
    assert masklets.num_frames == 10
    for frame in range(10):
        assert (masklets.mask(frame, "pupil") == object_frame(frame).mask).all()
    assert [frame for frame, _ in masklets] == list(range(10))
    assert masklets.table["frame_idx"].to_list() == [i for i in range(10) for _ in range(2)]


def test_chunks_are_whole_files_of_the_agreed_length(tmp_path: Path) -> None:
    writer = MaskletWriter(tmp_path, SIZE, chunk_frames=4)
    for frame in range(10):
        writer.add([object_frame(frame)])
    writer.finish()
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"chunk_{i:05d}.parquet" for i in range(3)]
    assert [len(pl.read_parquet(tmp_path / f"chunk_{i:05d}.parquet")) for i in range(3)] == [4, 4, 2]
    assert Masklets.from_folder(tmp_path).size == SIZE


def test_a_view_is_pasted_into_the_whole_picture() -> None:
    writer = MaskletWriter(None, SIZE)
    writer.add([object_frame(0, view=View(1, (30, 0, 60, 40)))])
    mask = writer.finish().mask(0, "pupil", view=1)
    assert mask.shape == SIZE
    assert mask[5:10, 33:39].all() and mask.sum() == 30


def test_what_is_not_there(tmp_path: Path) -> None:
    writer = MaskletWriter(None, SIZE)
    writer.add([object_frame(0)])
    masklets = writer.finish()
    with pytest.raises(InputError, match="objects: pupil"):
        masklets.mask(0, "iris")
    assert masklets.masks(99) == {}
    with pytest.raises(InputError, match="no masklets"):
        Masklets.from_folder(tmp_path)
    assert Masklets.empty(SIZE).num_frames == 0
