"""Batches are functions of seed and step, and what they say fits together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ocusam.training import clips
from ocusam.training.augment import U8, AugmentConfig, augment
from ocusam.training.clips import USED_AGAIN_AFTER, BatchMaker, ClipConfig, batches
from ocusam.training.rendered import Renderer, Wish
from ocusam.training.scenes import KINDS


def test_a_batch_depends_on_seed_and_step_alone(renderer: Renderer) -> None:
    config = ClipConfig(size=64, grid=32, pictures=3, group=2)
    one = BatchMaker(config, 7, renderer)
    first, second = one[4], one[5]
    again = BatchMaker(config, 7, renderer)[5]
    assert torch.equal(second.pictures_btss, again.pictures_btss) and torch.equal(
        second.points_bon2, again.points_bon2
    )
    assert torch.equal(second.truth_botgg, again.truth_botgg) and second.prompt == again.prompt
    assert not torch.equal(first.pictures_btss, second.pictures_btss)
    other = BatchMaker(config, 8, renderer)[5]
    assert not torch.equal(second.pictures_btss, other.pictures_btss)


def test_an_eye_comes_back_later_changed_anew_and_is_drawn_once(renderer: Renderer) -> None:
    drawn: list[int] = []

    def counting(wish: Wish) -> tuple[U8, dict[str, U8]]:
        drawn.append(wish.seed)
        return renderer(wish)

    off = ("frame_eye", "affine", "squash", "tone", "invert", "blur", "coarse", "noise", "cutout", "jpeg")
    changes = replace(AugmentConfig(flip=1), **dict.fromkeys(off, 0.0))  # type: ignore[arg-type]
    config = ClipConfig(size=64, grid=32, pictures=6, group=2, uses=3, two_eyes=0, augment=changes)
    maker = BatchMaker(config, 3, counting)
    later = 2 * USED_AGAIN_AFTER  # steps
    seen = [maker[step].pictures_btss for step in range(2 * later + 2)]
    # Of each three pictures the first is new; the others show what it showed one and two rounds ago.
    for step in (0, 1):
        assert torch.equal(seen[later + step][1], seen[step][0])
        assert torch.equal(seen[2 * later + step][5], seen[step][3])
        assert not torch.equal(seen[2 * later + step][3], seen[step][3])
    # In the first blocks there is nothing to come back.
    assert len(drawn) == len(set(drawn)) == USED_AGAIN_AFTER * (6 + 4) + 2
    # A run that begins in the middle sees the same.
    assert torch.equal(BatchMaker(config, 3, renderer)[2 * later].pictures_btss, seen[2 * later])


def test_pictures_for_the_encoder_alone_hold_all_that_it_learns_from(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ClipConfig(size=64, grid=32, pictures=4, two_eyes=0.5, shapes=0.2, parts_only=True)
    batch = BatchMaker(config, 5, renderer)[2]
    monkeypatch.setattr(clips, "_parts_alone", lambda scene: scene)
    whole = BatchMaker(config, 5, renderer)[2]
    assert batch.kind_bo.shape == (4, 0)  # no object is asked for
    assert bool(torch.equal(batch.pictures_btss, whole.pictures_btss))
    assert bool(torch.equal(batch.parts_bptgg, whole.parts_bptgg))
    assert batch.parts_bptgg.amax((0, 2, 3, 4)).min() > 0


def test_background_process_gives_the_same_batches_in_order(tiny_pictures: ClipConfig) -> None:
    maker = BatchMaker(tiny_pictures, 1)
    for step, batch in enumerate(batches(maker, 2, 5), start=2):
        assert batch.step == step
        assert torch.equal(batch.pictures_btss, maker[step].pictures_btss)


def test_pupil_and_iris_of_a_picture_are_side_by_side(renderer: Renderer, tiny_pictures: ClipConfig) -> None:
    batch = BatchMaker(tiny_pictures, 1, renderer)[0]
    for kinds in batch.kind_bo.tolist():
        assert {"pupil", "iris"} <= {KINDS[k] for k in kinds}


def test_clicks_lie_on_their_truth_after_every_change(renderer: Renderer) -> None:
    config = ClipConfig(size=96, grid=96, pictures=8, group=1, prompt_shares=(1, 0, 0, 0), two_eyes=0.5)
    for step in range(4):
        batch = BatchMaker(config, 5, renderer)[step]
        for picture in range(8):
            for number, kind in enumerate(batch.kind_bo[picture].tolist()):
                x, y = batch.points_bon2[picture, number, 0].round().int().tolist()
                covered = batch.truth_botgg[picture, number, 0, y, x]
                if KINDS[kind] == "nothing":
                    assert int(batch.truth_botgg[picture, number].max()) == 0
                    assert not bool(batch.present_bot[picture, number, 0])
                else:
                    assert int(covered) >= 128


def test_clips_begin_with_a_visible_pupil_and_know_when_it_is_gone(
    renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    batch = BatchMaker(replace(tiny_pictures, frames=5), 2, renderer)[0]
    pupil = batch.kind_bo == KINDS.index("pupil")
    assert bool(batch.present_bot[pupil][:, 0].all())
    assert not bool(batch.present_bot[pupil][:, 2].any())  # the drawn eye is shut in the middle
    assert bool(batch.present_bot[pupil][:, 4].all())


def test_masks_move_with_the_picture(renderer: Renderer) -> None:
    """After any change of geometry the dark pupil still lies under its mask."""
    pictures, coverage = renderer(Wish(3, 1, 1.0, 128))
    masks = np.stack([coverage["pupil"], coverage["sclera"]])
    only_geometry = AugmentConfig(
        tone=0, invert=0, blur=0, coarse=0, noise=0, cutout=0, jpeg=0, affine=1, squash=1
    )
    for seed in range(20):
        moved, moved_masks = augment(np.random.default_rng(seed), pictures, masks, only_geometry)
        pupil, sclera = moved_masks[:, 0] > 250
        if pupil.sum() > 10 and sclera.sum() > 10:
            assert np.median(moved[0][pupil]) < 40 and np.median(moved[0][sclera]) > 150


def test_a_gap_is_one_for_all_clips_of_a_step(renderer: Renderer, tiny_pictures: ClipConfig) -> None:
    config = replace(tiny_pictures, frames=3, gap=1.0, longest_gap=500)
    gaps = [BatchMaker(config, 2, renderer)[step].gap for step in range(6)]
    assert gaps == [BatchMaker(config, 2, renderer, (1, 2))[step].gap for step in range(6)]
    assert len(set(gaps)) > 3 and all(1 <= gap <= 500 for gap in gaps)
    assert BatchMaker(replace(config, gap=0.0), 2, renderer)[0].gap == 0
    assert BatchMaker(replace(config, frames=1), 2, renderer)[0].gap == 0
