"""A network's parts written for other programs: `ocusam models export`.

Notable choices: all or nothing; the folder appears when it is complete.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ocusam.core.errors import OutputError
from ocusam.engines.files import check_form, write_parts
from ocusam.tracking.build import build_sam2
from ocusam.tracking.find_config import find_config
from ocusam.workflows.inputs.input_size import FINE, input_px
from ocusam.workflows.session.models import weights_file


def export_network(
    model: str | Path,
    out: str | Path,
    form: str,
    *,
    weights: str | Path | None = None,
    size: str | int = FINE,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write the parts of a network and `network.json` into a new folder.

    Args:
        model: as for `build_sam2`.
        out: folder; must not exist, or be empty.
        form: "onnx" or "openvino".
        weights: checkpoint; None for those that are here.
        size: side of the network's input, see `inputs.input_size`; it is fixed in the files.
        progress: told the name of each part before it is written.

    Returns:
        The files.

    Raises:
        ModelError: unknown model or form, or a package is not installed.
        WeightsError: no weights, or they do not fit.
        OutputError: the folder cannot be written, or holds something.
    """
    check_form(form)
    out = Path(out)
    config = find_config(model).config
    path = weights_file(model, weights, config)
    side = input_px(size, config)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists already and is not an empty folder; choose another name.")
    # As the video predictor has it: prompted masks are certain.
    network = build_sam2(model, path, image_size=side, binarize_mask_from_pts_for_mem_enc=True)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
            made = Path(temporary) / "parts"
            made.mkdir()
            write_parts(network, made, form, progress)
            os.replace(made, out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error}).") from None
    return sorted(out.iterdir())
