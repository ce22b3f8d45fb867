"""ocusam: eye movements from eye videos with SAM 2's streaming memory; the public API, re-exported, nothing
else.

Notable choices: names are imported when first used, so that `import ocusam` and `ocusam --version` do not
wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ocusam.core.errors import InputError, ModelError, OcusamError, OutputError, PromptError, WeightsError
from ocusam.core.geometry import Ellipse
from ocusam.core.prompts import ObjectPrompt, PromptPack, ReferencePicture
from ocusam.core.version import __version__

if TYPE_CHECKING:
    from ocusam.model.config import Sam2Config
    from ocusam.model.sam2 import SAM2
    from ocusam.synthetic.eye import render_eye_clip
    from ocusam.tracking.automatic_masks import SAM2AutomaticMaskGenerator
    from ocusam.tracking.build import build_sam2, build_sam2_camera_predictor, build_sam2_video_predictor
    from ocusam.tracking.camera_predictor import SAM2CameraPredictor
    from ocusam.tracking.image_predictor import SAM2ImagePredictor
    from ocusam.tracking.video_predictor import SAM2VideoPredictor
    from ocusam.video.reader import open_video
    from ocusam.workflows.correct import Correction, CorrectSettings, correct
    from ocusam.workflows.eye import EyeRecording, track_eye
    from ocusam.workflows.inputs.settings import RunSettings
    from ocusam.workflows.session.masklets import Masklets
    from ocusam.workflows.track import track

_WHERE = {
    "CorrectSettings": "ocusam.workflows.correct",
    "Correction": "ocusam.workflows.correct",
    "EyeRecording": "ocusam.workflows.eye",
    "Masklets": "ocusam.workflows.session.masklets",
    "RunSettings": "ocusam.workflows.inputs.settings",
    "SAM2": "ocusam.model.sam2",
    "SAM2AutomaticMaskGenerator": "ocusam.tracking.automatic_masks",
    "SAM2CameraPredictor": "ocusam.tracking.camera_predictor",
    "SAM2ImagePredictor": "ocusam.tracking.image_predictor",
    "SAM2VideoPredictor": "ocusam.tracking.video_predictor",
    "Sam2Config": "ocusam.model.config",
    "build_sam2": "ocusam.tracking.build",
    "build_sam2_camera_predictor": "ocusam.tracking.build",
    "build_sam2_video_predictor": "ocusam.tracking.build",
    "correct": "ocusam.workflows.correct",
    "open_video": "ocusam.video.reader",
    "render_eye_clip": "ocusam.synthetic.eye",
    "track": "ocusam.workflows.track",
    "track_eye": "ocusam.workflows.eye",
}

__all__ = [
    "SAM2",
    "CorrectSettings",
    "Correction",
    "Ellipse",
    "EyeRecording",
    "InputError",
    "Masklets",
    "ModelError",
    "ObjectPrompt",
    "OcusamError",
    "OutputError",
    "PromptError",
    "PromptPack",
    "ReferencePicture",
    "RunSettings",
    "SAM2AutomaticMaskGenerator",
    "SAM2CameraPredictor",
    "SAM2ImagePredictor",
    "SAM2VideoPredictor",
    "Sam2Config",
    "WeightsError",
    "__version__",
    "build_sam2",
    "build_sam2_camera_predictor",
    "build_sam2_video_predictor",
    "correct",
    "open_video",
    "render_eye_clip",
    "track",
    "track_eye",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'ocusam' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
