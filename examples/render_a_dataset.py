"""Where do I get eyes with exact truth? Render them: pictures, masks and ellipses, without a network.

    python examples/render_a_dataset.py eyes

Writes one folder per clip with frames and pupil masks as PNG, and truth.csv. The same seed gives the same
eye.
"""

import sys
from pathlib import Path

import polars as pl
from PIL import Image

import ocusam


def main(out: str | Path, clips: int = 2, num_frames: int = 8) -> pl.DataFrame:
    """Write `clips` rendered clips below `out`; returns the table that is in truth.csv."""
    rows = []
    for seed in range(clips):
        folder = Path(out) / f"eye_{seed:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        clip = ocusam.render_eye_clip(seed, num_frames=num_frames)
        for t, frame in enumerate(clip.frames):
            Image.fromarray(frame).save(folder / f"{t:05d}.png")
            Image.fromarray(clip.coverage["pupil"][t]).save(folder / f"{t:05d}_pupil.png")
            pupil = clip.ellipses["pupil"][t]
            rows.append(
                {
                    "clip": folder.name,
                    "frame_idx": t,
                    "center_x_px": None if pupil is None else pupil.center[0],
                    "center_y_px": None if pupil is None else pupil.center[1],
                    "diameter_px": None if pupil is None else pupil.major,
                    "pupil_visible": float(clip.pupil_visible_fraction[t]),
                }
            )
    table = pl.DataFrame(rows)
    table.write_csv(Path(out) / "truth.csv")
    print(table)
    return table


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "eyes")
