import numpy as np
import pytest
import torch
from PIL import Image

from ocusam.core.errors import InputError
from ocusam.tracking.image_predictor import SAM2ImagePredictor, picture_to_still_input
from ocusam.video.frames import normalise


@pytest.fixture
def predictor(network, clip):
    made = SAM2ImagePredictor(network)
    made.set_image(clip[0])
    return made


def test_shapes_and_values(predictor):
    masks, iou, low_res = predictor.predict([[14, 20]], [1])
    assert masks.shape == (3, 40, 56) and iou.shape == (3,) and low_res.shape == (3, 16, 16)
    assert masks.dtype == np.float32 and set(np.unique(masks)) <= {0.0, 1.0}
    logits, _, _ = predictor.predict([[14, 20]], [1], return_logits=True)
    assert np.array_equal(logits > 0, masks == 1)
    single, _, _ = predictor.predict(box=[4, 10, 28, 30], multimask_output=False)
    assert single.shape == (1, 40, 56)
    assert np.abs(low_res).max() <= 32


def test_independent_prompts_at_once_equal_one_by_one(predictor):
    boxes = np.array([[4, 10, 28, 30], [30, 5, 50, 35]])
    together, iou, low_res = predictor.predict(box=boxes, return_logits=True)
    assert together.shape == (2, 3, 40, 56) and iou.shape == (2, 3) and low_res.shape == (2, 3, 16, 16)
    for i, box in enumerate(boxes):
        alone, _, _ = predictor.predict(box=box, return_logits=True)
        assert np.allclose(together[i], alone, atol=1e-4, rtol=1e-4)
    points = np.array([[[14, 20]], [[40, 20]]])
    several, _, _ = predictor.predict(points, [[1], [0]])
    assert several.shape == (2, 3, 40, 56)


def test_earlier_logits_alone_or_with_points(predictor):
    _, _, low_res = predictor.predict([[14, 20]], [1])
    refined, _, _ = predictor.predict([[14, 20]], [1], mask_input=low_res[:1], return_logits=True)
    plain, _, _ = predictor.predict([[14, 20]], [1], return_logits=True)
    assert not np.allclose(refined, plain)
    alone, _, _ = predictor.predict(mask_input=low_res[:1], multimask_output=False)
    assert alone.shape == (1, 40, 56)


def test_no_prompt_at_all_is_answered_without_a_prompt_token(predictor, network, monkeypatch):
    seen = []
    decode_all = network.sam_mask_decoder.decode_all

    def watched(embedding, positions, sparse, *rest):
        seen.append(sparse.shape[:2])
        return decode_all(embedding, positions, sparse, *rest)

    monkeypatch.setattr(network.sam_mask_decoder, "decode_all", watched)
    masks, iou, low_res = predictor.predict(return_logits=True)
    # As published: neither a click nor the padding that a frame of a video gets.
    assert seen == [(1, 0)]
    assert masks.shape == (3, 40, 56) and iou.shape == (3,) and low_res.shape == (3, 16, 16)
    assert not np.allclose(masks, predictor.predict([[14, 20]], [1], return_logits=True)[0])


def test_box_corners_come_before_points(predictor):
    both, _, _ = predictor.predict([[14, 20]], [1], box=[4, 10, 28, 30], return_logits=True)
    as_points, _, _ = predictor.predict([[4, 10], [28, 30], [14, 20]], [2, 3, 1], return_logits=True)
    assert np.array_equal(both, as_points)


def test_batches_of_pictures_equal_single_ones(network, clip):
    predictor = SAM2ImagePredictor(network)
    small = clip[1][:30, :40]
    predictor.set_image_batch([clip[0], small])
    masks, iou, low_res = predictor.predict_batch([[[14, 20]], [[10, 10]]], [[1], [1]], return_logits=True)
    assert [m.shape for m in masks] == [(3, 40, 56), (3, 30, 40)] and len(iou) == len(low_res) == 2
    predictor.set_image(small)
    alone, _, _ = predictor.predict([[10, 10]], [1], return_logits=True)
    assert np.allclose(masks[1], alone, atol=1e-4, rtol=1e-4)
    predictor.set_image_batch([clip[0], small])
    with pytest.raises(InputError, match="1 entries for 2 pictures"):
        predictor.predict_batch([[[14, 20]]], [[1]])


def test_pillow_and_grey_pictures(network, clip):
    predictor = SAM2ImagePredictor(network)
    predictor.set_image(Image.fromarray(clip[0]))
    first = predictor.get_image_embedding()
    predictor.set_image(clip[0])
    assert torch.equal(first, predictor.get_image_embedding()) and first.shape == (1, 32, 4, 4)
    predictor.set_image(clip[0][:, :, 0])
    assert predictor.predict([[14, 20]], [1])[0].shape == (3, 40, 56)


def test_holes_and_specks_are_removed(network, clip):
    plain, clean = SAM2ImagePredictor(network), SAM2ImagePredictor(network, 0.0, 10_000, 0)
    for predictor in (plain, clean):
        predictor.set_image(clip[0])
    assert (clean.predict([[14, 20]], [1])[0] == 1).all()  # every background region is smaller than that
    specks = SAM2ImagePredictor(network, 0.0, 0, 10_000)
    specks.set_image(clip[0])
    assert (specks.predict([[14, 20]], [1])[0] == 0).all()
    assert 0 < plain.predict([[14, 20]], [1])[0].mean() < 1


@pytest.mark.parametrize("side", [32, 96, 160])
def test_other_input_sizes(network, clip, side):
    import dataclasses

    other = type(network)(dataclasses.replace(network.config, image_size=side)).eval()
    other.load_state_dict(network.state_dict())
    predictor = SAM2ImagePredictor(other)
    predictor.set_image(clip[0])
    masks, _, low_res = predictor.predict([[14, 20]], [1])
    assert masks.shape == (3, 40, 56) and low_res.shape == (3, side // 4, side // 4)


def test_the_resize_is_a_float_one():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    out = picture_to_still_input(image, 32)
    assert out.shape == (1, 3, 32, 32) and out.dtype == torch.float32
    same = picture_to_still_input(image[:64, :64], 64)
    assert np.allclose(same[0].numpy(), normalise(image[:64, :64]), atol=1e-6)
