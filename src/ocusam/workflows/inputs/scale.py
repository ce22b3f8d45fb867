"""The options `--mm-per-px` and `--iris-mm`: whether what is tracked can answer them.

Purpose: a run that was asked for mm by the iris and follows none is refused before it begins, not hours
later.

What it does not know: whether the iris will be seen well (`eye.scale` tells that at the end).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ocusam.core.errors import PromptError
from ocusam.core.masklet import View
from ocusam.core.prompts import ObjectPrompt, ReferencePicture
from ocusam.workflows.inputs.views import split_prompts

_WAYS = (
    "Click the iris too (--point iris:X,Y@FRAME, between pupil and white), state the scale instead "
    "(--mm-per-px), or leave --iris-mm out."
)


def check_iris(
    iris_mm: float | None,
    prompts: Sequence[ObjectPrompt],
    references: Iterable[ReferencePicture] = (),
    views: Sequence[View] | None = None,
    *,
    found: bool = False,
) -> None:
    """Refuse an assumed iris where a pupil is tracked without one.

    Args:
        iris_mm: `RunSettings.iris_mm`; None: nothing to check.
        prompts: of the run, px of the picture.
        references: annotated pictures; an iris on one of them will do.
        views: each that has a pupil must have an iris; None: they are not known yet, any iris will do.
        found: nobody clicked; the eye was found by itself.

    Raises:
        PromptError: says what to do.
    """
    known = [*prompts, *(p for r in references for p in r.prompts)]
    if iris_mm is None or not known:
        return
    where = ""
    if any(p.name == "iris" for p in known):
        if views is None or any(p.name == "iris" for r in references for p in r.prompts):
            return
        names = {view: {p.name for p in own} for view, own in split_prompts(prompts, list(views)).items()}
        without = [view for view, own in sorted(names.items()) if "pupil" in own and "iris" not in own]
        if not without:
            return
        where = f" in view {', '.join(map(str, without))}"
    why = " (the pupil was found without a click, an iris did not show clearly enough)" if found else ""
    raise PromptError(f"iris_mm={iris_mm:g} needs an iris, and none is tracked{where}{why}. {_WAYS}")
