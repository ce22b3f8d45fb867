"""What does one click outline? A still picture, a click on the pupil, three candidate masks.

    python examples/click_to_mask.py

Renders an eye, so it needs no files. Writes click_to_mask.png.
"""

from pathlib import Path

import numpy as np
from PIL import Image

import ocusam
from ocusam.synthetic.eye import lab_style


def main(out: str | Path = ".", seed: int = 1) -> list[float]:
    """Click on a rendered pupil; returns the IoU of each candidate with the truth."""
    clip = ocusam.render_eye_clip(seed, num_frames=1, style=lab_style())
    picture = np.repeat(clip.frames[0][..., None], 3, axis=2)  # grey to RGB
    truth = clip.coverage["pupil"][0] > 127
    pupil = clip.ellipses["pupil"][0]
    assert pupil is not None

    predictor = ocusam.SAM2ImagePredictor(ocusam.build_sam2("nano"))
    predictor.set_image(picture)
    masks, predicted_ious, _ = predictor.predict([pupil.center], [1])

    ious = []
    for mask, predicted in zip(masks > 0, predicted_ious, strict=True):
        ious.append(float((mask & truth).sum() / max(1, (mask | truth).sum())))
        print(f"the network guesses an IoU of {predicted:.2f}; it is {ious[-1]:.2f}")

    best = masks[int(predicted_ious.argmax())] > 0
    picture[best] = picture[best] // 2 + np.array([0, 110, 0], dtype=np.uint8)
    Image.fromarray(picture).save(Path(out) / "click_to_mask.png")
    print("written to click_to_mask.png")
    return ious


if __name__ == "__main__":
    main()
