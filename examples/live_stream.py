"""How do I follow an eye live, and add an object while it runs?

    python examples/live_stream.py

Frames are pushed one at a time, as a camera delivers them; memory does not grow. The masks are those that
the offline predictor would give. With a camera: `ocusam camera 0`, or push frames of cv2.VideoCapture
(turned from BGR to RGB).
"""

import time

import numpy as np

import ocusam
from ocusam.synthetic.eye import lab_style


def main(num_frames: int = 40, seed: int = 1) -> list[list[str]]:
    """Push a rendered clip; the iris joins half-way. Returns the objects followed, frame by frame."""
    clip = ocusam.render_eye_clip(seed, num_frames=num_frames, style=lab_style())
    pupil = clip.ellipses["pupil"][0]
    assert pupil is not None
    half = num_frames // 2
    y, x = np.argwhere(clip.coverage["iris"][half] > 127)[0]

    camera = ocusam.build_sam2_camera_predictor("nano")
    camera.load_first_frame(clip.frames[0])
    camera.add_new_prompt(frame_idx=0, obj_id="pupil", points=[pupil.center], labels=[1])

    followed, milliseconds = [], []
    for frame_idx in range(1, num_frames):
        start = time.perf_counter()
        obj_ids, mask_logits = camera.track(clip.frames[frame_idx])
        milliseconds.append(1e3 * (time.perf_counter() - start))
        followed.append([str(obj_id) for obj_id in obj_ids])
        assert mask_logits.shape == (len(obj_ids), 1, *clip.frames[0].shape)
        if frame_idx == half:
            camera.add_new_prompt(frame_idx=half, obj_id="iris", points=[[x, y]], labels=[1])
    print(f"{num_frames - 1} frames, median {np.median(milliseconds):.0f} ms; at the end: {followed[-1]}")
    return followed


if __name__ == "__main__":
    main()
