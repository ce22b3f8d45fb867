"""Whatever a user can get wrong is refused with its reason, by every public method, and leaves no trace.

The table below is complete by a test of its own: `NEEDED` says what can be wrong with an argument of a name,
and every public method that has such an argument must have a refused call for it here.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ocusam.core.errors import InputError, OcusamError, PromptError
from ocusam.model.sam2 import SAM2
from ocusam.tracking.camera_predictor import SAM2CameraPredictor
from ocusam.tracking.image_predictor import SAM2ImagePredictor
from ocusam.tracking.session import VideoSession
from ocusam.tracking.video_predictor import SAM2VideoPredictor

OUTSIDE, LABEL, JOINED = "point outside", "label not in -1..3", "box with clear_old_points=False"
BOX, MASK, FRAME = "box outside", "mask of another size", "frame index out of range"
UNKNOWN, NOTHING, PICTURE, EMPTY = "unknown object", "propagate without prompts", "not a picture", "nothing"
NEEDED: dict[str, tuple[str, ...]] = {
    "points": (OUTSIDE, EMPTY),
    "labels": (LABEL,),
    "box": (BOX,),
    "clear_old_points": (JOINED,),
    "mask": (MASK,),
    "mask_input": (MASK,),
    "frame_idx": (FRAME,),
    "start_frame_idx": (FRAME, NOTHING),
    "img": (PICTURE,),
    "image": (PICTURE,),
    "image_list": (PICTURE, EMPTY),
}
OTHER_NAMES = {"point_coords": "points", "point_labels": "labels", "bbox": "box"}
# What no name of an argument gives away.
BY_METHOD = {
    "clear_all_prompts_in_frame": (UNKNOWN,),
    "remove_object": (UNKNOWN,),
    "propagate_in_video_preflight": (NOTHING,),
    "track": (NOTHING,),
    "step": (NOTHING,),
}


@dataclass
class Running:
    """Each predictor at work: frames 0 to 2 of 12, or one picture, of 40 x 56 px (height x width)."""

    video: SAM2VideoPredictor
    state: VideoSession
    image: SAM2ImagePredictor
    camera: SAM2CameraPredictor
    clip: NDArray[np.uint8]

    def points(self, *place: Any, **more: Any) -> object:
        """A good click unless told otherwise."""
        given: dict[str, Any] = {"points": [[14, 20]], "labels": [1], **more}
        return self.video.add_new_points_or_box(self.state, *(place or (0, 1)), **given)

    def click(self, *place: Any, **more: Any) -> object:
        """The same on the camera."""
        given: dict[str, Any] = {"points": [[14, 20]], "labels": [1], **more}
        return self.camera.add_new_prompt(*(place or (None, 1)), **given)

    def older(self, **more: Any) -> object:
        """The same under an older name."""
        return self.camera.add_new_points(None, 1, **{"points": [[14, 20]], "labels": [1], **more})

    def join(self, **given: Any) -> object:
        """A prompt while tracking."""
        return self.camera.add_new_prompt_during_track(obj_id=1, **given)

    def predict(self, **more: Any) -> Any:
        """The same on the picture."""
        return self.image.predict(**{"point_coords": [[14, 20]], "point_labels": [1], **more})

    def predict_batch(self, **more: Any) -> object:
        """The same on a batch of one."""
        given: dict[str, Any] = {"point_coords_batch": [[[14, 20]]], "point_labels_batch": [[1]], **more}
        return self.image.predict_batch(**given)

    def propagate(self, *args: Any, **more: Any) -> list[Any]:
        """To the end."""
        return list(self.video.propagate_in_video(self.state, *args, **more))

    def other(self) -> SAM2ImagePredictor:
        """One without a picture: where one is refused, the one before it is gone."""
        return SAM2ImagePredictor(self.image)

    def fresh(self) -> VideoSession:
        """A session without prompts."""
        return self.video.init_state(self.clip)

    def cleared(self) -> SAM2CameraPredictor:
        """A stream whose only object has lost its prompts."""
        camera = SAM2CameraPredictor(self.video)
        camera.load_first_frame(self.clip[0])
        camera.add_new_prompt(None, 1, [[14, 20]], [1])
        camera.clear_all_prompts_in_frame(None, 1)
        return camera

    def trace(self) -> list[Any]:
        """What a refused call must leave as it was."""
        found: list[Any] = [self.camera.frame_idx]
        for state in (self.state, self.camera.state):
            for obj_id, track in state.objects.items():
                bank = track.bank
                found.append((obj_id, list(track.points), sorted(track.mask_frames), list(track.pending)))
                found.append((list(bank.conditioning), list(bank.recent), list(track.tracked.runs)))
        return found


def start(network: SAM2, clip: NDArray[np.uint8]) -> Running:
    video, image = SAM2VideoPredictor(network), SAM2ImagePredictor(network)
    camera, state = SAM2CameraPredictor(SAM2VideoPredictor(network)), video.init_state(clip)
    video.add_new_points_or_box(state, 0, 1, [[14, 20]], [1])
    list(video.propagate_in_video(state, 0, 2))
    camera.load_first_frame(clip[0])
    camera.add_new_prompt(None, 1, [[14, 20]], [1])
    for picture in clip[1:3]:
        camera.track(picture)
    image.set_image_batch([clip[0]])
    return Running(video, state, image, camera, clip)


@pytest.fixture(scope="module")
def running(network: SAM2, clip: NDArray[np.uint8]) -> Running:
    """One for all refused calls: they change nothing."""
    return start(network, clip)


Refused = tuple[str, Callable[[Running], object], str]
BAD_MASK, GOOD_BOX = np.ones((40, 55)), [4, 10, 28, 30]
FLOATS = np.zeros((40, 56, 3))
HALF_LOGITS = torch.linspace(-8, 8, 40 * 56, dtype=torch.bfloat16).reshape(40, 56)

# Arguments of a prompt, the same for all predictors: reason, arguments, words of the message.
PROMPTS: list[tuple[str, dict[str, Any], str]] = [
    (OUTSIDE, {"points": [[56, 20]]}, r"point \(56, 20\) lies outside the picture, which is 56 x 40 px"),
    (OUTSIDE, {"points": [[5, -1]]}, "y from 0 to 39"),
    (OUTSIDE, {"points": [[float("nan"), 5]]}, "outside"),
    (OUTSIDE, {"points": [[0.5, 1.5]], "normalize_coords": False}, "shares"),
    (LABEL, {"labels": [4]}, "allowed are 1"),
    (LABEL, {"labels": [-2]}, "allowed are 1"),
    (LABEL, {"labels": [0.5]}, "allowed are 1"),
    (EMPTY, {"points": np.zeros((0, 2)), "labels": []}, "N at least 1"),
    ("no labels", {"labels": None}, "belong together"),
    ("no points", {"points": None}, "belong together"),
    ("too many labels", {"labels": [1, 0]}, r"points \(N, 2\)"),
    ("three numbers", {"points": [[5, 5, 5]]}, r"points \(N, 2\)"),
    ("no numbers", {"points": "left"}, "arrays of numbers"),
    (BOX, {"box": [1, 1, 9, 99]}, r"box corner \(9, 99\) lies outside"),
    (BOX, {"box": [1, 1, float("nan"), 9]}, "empty"),
    (BOX, {"box": [1, 1, float("inf"), 9]}, "lies outside"),
    ("empty box", {"box": [9, 1, 1, 9]}, "empty"),
    ("half a box", {"box": [1, 1, 9]}, "x0, y0, x1, y1"),
]


def renamed(given: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in given.items()}


def prompts(call: Callable[..., object], **names: str) -> list[Refused]:
    """All of `PROMPTS` for a method whose arguments have other names."""
    return [
        (reason, lambda r, given=given: call(r, **renamed(given, names)), words)
        for reason, given, words in PROMPTS
    ]


def batched(r: Running, **given: Any) -> object:
    plain = {"normalize_coords"}
    return r.predict_batch(
        **{k if k in plain else f"{k}_batch": v if k in plain or v is None else [v] for k, v in given.items()}
    )


BOX_JOINS: dict[str, Any] = {"box": GOOD_BOX, "clear_old_points": False}
VIDEO: dict[str, list[Refused]] = {
    "add_new_points_or_box": [
        *prompts(lambda r, **given: r.points(**given)),
        (EMPTY, lambda r: r.points(points=None, labels=None), "at least one point"),
        (JOINED, lambda r: r.points(**BOX_JOINS), "clear_old_points=False"),
        (JOINED, lambda r: r.points(points=None, labels=None, **BOX_JOINS), "clear_old_points=False"),
        (FRAME, lambda r: r.points(12, 1), r"Frame 12 .* 0 to 11"),
        (FRAME, lambda r: r.points(-1, 1), r"Frame -1 .* 0 to 11"),
        (FRAME, lambda r: r.points(1.5, 1), "named by its number"),
        (FRAME, lambda r: r.points("first", 1), "named by its number"),
        (FRAME, lambda r: r.points(torch.tensor([0, 1]), 1), "named by its number"),
        (FRAME, lambda r: r.points(None, 1), "named by its number"),
        ("no label", lambda r: r.points(0, [1]), "label is a number or a text"),
        ("two labels", lambda r: r.points(0, torch.tensor([1, 2])), "label is a number or a text"),
        ("two objects", lambda r: r.points(points=[[[5, 5]]] * 2, labels=[[1]] * 2), "give one object's"),
    ],
    "add_new_mask": [
        (MASK, lambda r: r.video.add_new_mask(r.state, 0, 1, BAD_MASK), r"\(40, 55\).*\(40, 56\)"),
        (MASK, lambda r: r.video.add_new_mask(r.state, 0, 1, np.ones((1, 40, 56))), "two dimensions"),
        (MASK, lambda r: r.video.add_new_mask(r.state, 0, 1, torch.ones(56, 40)), r"\(56, 40\)"),
        ("text", lambda r: r.video.add_new_mask(r.state, 0, 1, "disc"), "booleans or numbers"),
        ("logits", lambda r: r.video.add_new_mask(r.state, 0, 1, np.full((40, 56), -3.0)), "logits > 0"),
        ("logits", lambda r: r.video.add_new_mask(r.state, 0, 1, HALF_LOGITS), "logits > 0"),
        (FRAME, lambda r: r.video.add_new_mask(r.state, 12, 1, np.ones((40, 56))), "0 to 11"),
    ],
    "clear_all_prompts_in_frame": [
        (UNKNOWN, lambda r: r.video.clear_all_prompts_in_frame(r.state, 0, 5), r"object 5.*\[1\]"),
        (FRAME, lambda r: r.video.clear_all_prompts_in_frame(r.state, 12, 1), "0 to 11"),
    ],
    "remove_object": [
        (UNKNOWN, lambda r: r.video.remove_object(r.state, 5, strict=True), r"object 5.*\[1\]"),
        (UNKNOWN, lambda r: r.video.remove_object(r.state, [1], strict=True), r"object \[1\].*\[1\]"),
    ],
    "propagate_in_video": [
        (NOTHING, lambda r: list(r.video.propagate_in_video(r.fresh())), "nothing to follow"),
        (FRAME, lambda r: r.propagate(12), "0 to 11"),
        (FRAME, lambda r: r.propagate(-1, reverse=True), "0 to 11"),
        ("fewer than none", lambda r: r.propagate(0, -1), "0 or more"),
        ("no number", lambda r: r.propagate(0, "3"), "'3': give 0 or more"),
        ("fewer than none, backward", lambda r: r.propagate(2, -1, reverse=True), "0 or more"),
    ],
    "propagate": [
        (NOTHING, lambda r: list(r.video.propagate(r.fresh())), "nothing to follow"),
        (FRAME, lambda r: list(r.video.propagate(r.state, 12)), "0 to 11"),
    ],
    "propagate_in_video_preflight": [
        (NOTHING, lambda r: r.video.propagate_in_video_preflight(r.fresh()), "nothing to follow"),
    ],
    "frame_output": [
        (FRAME, lambda r: r.video.frame_output(r.state, 12), "0 to 11"),
        (FRAME, lambda r: r.video.frame_output(r.state, -1), "from 0"),
    ],
    "init_state": [
        ("no file", lambda r: r.video.init_state("none.mp4"), "No such file"),
        ("no pictures", lambda r: r.video.init_state(np.zeros((2, 40, 56, 3))), "uint8"),
    ],
}
VIDEO["add_new_points"] = [  # the same method under its older name
    (reason, call, words) for reason, call, words in VIDEO["add_new_points_or_box"]
]
IMAGE: dict[str, list[Refused]] = {
    "predict": [
        *prompts(lambda r, **given: r.predict(**given), points="point_coords", labels="point_labels"),
        (MASK, lambda r: r.predict(mask_input=np.zeros((1, 40, 56))), r"\(1, 16, 16\)"),
        (MASK, lambda r: r.predict(mask_input=np.zeros((16, 16))), "mask_input has shape"),
        (MASK, lambda r: r.predict(mask_input=np.full((1, 16, 16), np.nan)), "finite"),
        (MASK, lambda r: r.predict(mask_input=np.zeros((2, 1, 16, 16))), "2 mask prompts for 1"),
        ("text", lambda r: r.predict(mask_input="disc"), "array of logits"),
        ("two boxes", lambda r: r.predict(box=[GOOD_BOX] * 2), "2 boxes for 1"),
    ],
    "predict_batch": [
        *prompts(batched, points="point_coords", labels="point_labels"),
        (MASK, lambda r: r.predict_batch(mask_input_batch=[np.zeros((1, 8, 8))]), "mask_input has shape"),
        ("too few", lambda r: r.predict_batch(box_batch=[]), "0 entries for 1 pictures"),
    ],
    "set_image": [
        (PICTURE, lambda r: r.other().set_image(FLOATS), "float64"),
        ("no file", lambda r: r.other().set_image(None), "None; cv2.imread"),
        ("its name", lambda r: r.other().set_image("eye.png"), r"text 'eye.png'.*Image.open"),
        ("its name", lambda r: r.other().set_image(Path("eye.png")), "text 'eye.png'"),
        ("ragged", lambda r: r.other().set_image([[1, 2], [3]]), "no array"),
        ("elsewhere", lambda r: r.other().set_image(torch.zeros(4, 4, 3).to("meta")), "no array"),
    ],
    "set_image_batch": [
        ("one", lambda r: r.other().set_image_batch(r.clip[0]), "single one goes to set_image"),
        ("one", lambda r: r.other().set_image_batch(Image.fromarray(r.clip[0])), "single one"),
        ("its name", lambda r: r.other().set_image_batch("eye.png"), "list of pictures"),
        ("none", lambda r: r.other().set_image_batch(None), "list of pictures"),
        (PICTURE, lambda r: r.other().set_image_batch([FLOATS]), "float64"),
        (EMPTY, lambda r: r.other().set_image_batch([]), "at least one"),
    ],
}
CAMERA: dict[str, list[Refused]] = {
    "add_new_prompt": [
        *prompts(lambda r, **given: r.click(**given), box="bbox"),
        (EMPTY, lambda r: r.click(points=None, labels=None), "at least one point"),
        (JOINED, lambda r: r.click(bbox=GOOD_BOX, clear_old_points=False), "clear_old_points=False"),
        (FRAME, lambda r: r.click(3, 1), "frames 0 to 2 are kept"),
        (FRAME, lambda r: r.click(-1, 1), "cannot be prompted"),
        (FRAME, lambda r: r.click("first", 1), "cannot be prompted"),
        (FRAME, lambda r: r.click(True, 1), "named by its number"),
    ],
    "add_new_mask": [
        (MASK, lambda r: r.camera.add_new_mask(None, 1, BAD_MASK), r"\(40, 55\).*\(40, 56\)"),
        (FRAME, lambda r: r.camera.add_new_mask(9, 1, np.ones((40, 56))), "cannot be prompted"),
    ],
    "clear_all_prompts_in_frame": [
        (UNKNOWN, lambda r: r.camera.clear_all_prompts_in_frame(None, "x"), "Unknown object 'x'"),
        (FRAME, lambda r: r.camera.clear_all_prompts_in_frame(9, 1), "cannot be prompted"),
    ],
    "remove_object": [
        (UNKNOWN, lambda r: r.camera.remove_object("x", strict=True), "Unknown object 'x'"),
        (UNKNOWN, lambda r: r.camera.remove_object(["x"], strict=True), "Unknown object"),
    ],
    "track": [
        (PICTURE, lambda r: r.camera.track(FLOATS), "uint8"),
        ("another size", lambda r: r.camera.track(np.zeros((9, 9, 3), np.uint8)), "size"),
        (NOTHING, lambda r: r.cleared().track(r.clip[1]), "no prompts"),
    ],
    "step": [
        (PICTURE, lambda r: r.camera.step(FLOATS), "uint8"),
        (NOTHING, lambda r: r.cleared().step(r.clip[1]), "no prompts"),
    ],
    "add_new_points": [
        *(case for case in prompts(lambda r, **given: r.older(**given)) if "box" not in case[0]),
        (FRAME, lambda r: r.camera.add_new_points(9, 1, [[5, 5]], [1]), "cannot be prompted"),
    ],
    "add_new_prompt_during_track": [
        (OUTSIDE, lambda r: r.join(point=[[56, 20]]), "lies outside"),
        (LABEL, lambda r: r.join(point=[[5, 5]], labels=[4]), "allowed are 1"),
        (BOX, lambda r: r.join(bbox=[[1, 1], [9, 99]]), "lies outside"),
        (EMPTY, lambda r: r.join(), "at least one point"),
        (JOINED, lambda r: r.join(bbox=GOOD_BOX, clear_old_points=False), "clear_old_points=False"),
        (MASK, lambda r: r.join(mask=BAD_MASK), r"\(40, 55\).*\(40, 56\)"),
        ("two kinds", lambda r: r.join(mask=np.ones((40, 56)), point=[[5, 5]]), "one or the other"),
    ],
    "load_first_frame": [(PICTURE, lambda r: r.camera.load_first_frame(FLOATS), "uint8")],
}
TABLES: dict[type, dict[str, list[Refused]]] = {
    SAM2VideoPredictor: VIDEO,
    SAM2ImagePredictor: IMAGE,
    SAM2CameraPredictor: CAMERA,
}
CASES = [
    pytest.param(call, words, id=f"{kind.__name__.removeprefix('SAM2')}.{method}: {reason} {i}")
    for kind, table in TABLES.items()
    for method, refused in table.items()
    for i, (reason, call, words) in enumerate(refused)
]


@pytest.mark.parametrize(("call", "words"), CASES)
def test_refused(running: Running, call: Callable[[Running], object], words: str) -> None:
    before = running.trace()
    with pytest.raises(OcusamError, match=words):
        call(running)
    assert running.trace() == before


def test_after_all_refusals_everything_works_as_before(network: SAM2, clip: NDArray[np.uint8]) -> None:
    disturbed, fresh = start(network, clip), start(network, clip)
    for table in TABLES.values():
        for refused in table.values():
            for _, call, _ in refused:
                with pytest.raises((PromptError, InputError)):
                    call(disturbed)
    found, expected = disturbed.propagate(), fresh.propagate()
    assert all(torch.equal(one[2], other[2]) for one, other in zip(found, expected, strict=True))
    assert torch.equal(disturbed.camera.track(clip[3])[1], fresh.camera.track(clip[3])[1])
    assert np.array_equal(disturbed.predict()[2], fresh.predict()[2])


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_the_table_is_complete(kind: type) -> None:
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if name.startswith("_"):
            continue
        if method is SAM2VideoPredictor.add_new_points:
            method = SAM2VideoPredictor.add_new_points_or_box
        wanted = set(BY_METHOD.get(name, ()))
        for argument in inspect.signature(method).parameters:
            plain = argument.removesuffix("_batch")
            wanted |= set(NEEDED.get(OTHER_NAMES.get(plain, plain), ()))
        if BOX not in wanted:
            wanted.discard(JOINED)
        missing = wanted - {reason for reason, _, _ in TABLES[kind].get(name, [])}
        assert not missing, f"{kind.__name__}.{name} lacks a refused call for {sorted(missing)}"


STATEFUL = [
    name
    for name, method in inspect.getmembers(SAM2VideoPredictor, inspect.isfunction)
    if "inference_state" in inspect.signature(method).parameters
]


@pytest.mark.parametrize("method", STATEFUL)
@pytest.mark.parametrize("given", ["eye.mp4", Path("eye.mp4"), {"images": []}, None])
def test_a_video_in_place_of_its_state_says_what_to_do(network: SAM2, method: str, given: Any) -> None:
    predictor = SAM2VideoPredictor(network)
    advice = r"init_state\('eye.mp4'\)" if isinstance(given, str | Path) else r"init_state\(video\)"
    with pytest.raises(InputError, match=rf"{method}: inference_state is .*{advice}"):
        getattr(predictor, method)(given, 0, 1)
    with pytest.raises(InputError, match=advice):
        getattr(predictor, method)(inference_state=given)


def test_a_point_anywhere_on_a_pixel_and_a_box_to_the_edge_are_taken(
    network: SAM2, clip: NDArray[np.uint8]
) -> None:
    """Pixel centres are at integers; boxes may end behind their last pixel."""
    running = start(network, clip)
    running.points(points=[[-0.5, -0.5], [55.5, 39.5]], labels=[1, 0])
    running.points(points=None, labels=None, box=[-0.5, -0.5, 56, 40])
    running.points(points=[], labels=[], box=GOOD_BOX)  # empty lists mean none
    running.click(points=[[-0.5, 39.5]])
    running.predict(point_coords=[[55.5, -0.5]])


def test_pictures_must_come_first(network: SAM2, clip: NDArray[np.uint8]) -> None:
    image, camera = SAM2ImagePredictor(network), SAM2CameraPredictor(SAM2VideoPredictor(network))
    calls: list[Callable[[], object]] = [
        lambda: image.predict([[1, 1]], [1]),
        lambda: image.predict_batch(box_batch=[]),
        image.get_image_embedding,
        lambda: camera.track(clip[0]),
        lambda: camera.step(clip[0]),
        lambda: camera.add_new_prompt(0, 1, [[5, 5]], [1]),
        lambda: camera.add_new_mask(0, 1, np.zeros((40, 56))),
        lambda: camera.clear_all_prompts_in_frame(0, 1),
        lambda: camera.remove_object(1),
        camera.newest,
        lambda: camera.obj_ids,
        lambda: camera.frame_idx,
    ]
    for call in calls:
        with pytest.raises(InputError, match="no picture yet"):
            call()
    camera.reset_state()
    image.set_image(clip[0])
    image.reset_predictor()
    with pytest.raises(InputError, match="no picture yet"):
        image.predict([[1, 1]], [1])
