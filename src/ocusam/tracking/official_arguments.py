"""Arguments that the published builders have and ours do not need: taken all the same, and translated.

Purpose: calls written for the published package work as they are, with `config_file=` by name, with `mode` in
the fourth place, and with `hydra_overrides_extra=["++model.max_cond_frames_in_attn=4"]`.

Notable choices: an override whose key is no option here is refused by its name, since to ignore it could mean
another function. Overrides win over what `apply_postprocessing` sets, as options given by name do (the
published builders let that win over the caller). Switches of a compiler (`compile_image_encoder`) are passed
over: what they change is time alone, and `vos_optimized` is there for that.

What it does not know: Hydra's overrides of lists, groups and other files.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import yaml  # type: ignore[import-untyped]

from ocusam.core.errors import ModelError
from ocusam.model.config import Sam2Config
from ocusam.tracking.official_yaml import COMPILE_KEY, PREDICTOR_KEYS

P = ParamSpec("P")
R = TypeVar("R")
_OVERRIDE = re.compile(r"\+{0,2}(?:trainer\.)?model\.(?:sam_mask_decoder_extra_args\.)?(\w+)=(.*)", re.DOTALL)
# Behind config, ckpt_path and device, in the published order.
_OURS, _ORDER = 3, ("mode", "hydra_overrides_extra", "apply_postprocessing", "vos_optimized")
_KNOWN = {field.name for field in dataclasses.fields(Sam2Config)} | set(PREDICTOR_KEYS)


def read_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """Return Hydra's overrides of a network as options of our builders.

    Args:
        overrides: texts of the form `++model.KEY=VALUE`, with or without plus signs.

    Raises:
        ModelError: another form, or a key that is no option; names it.
    """
    options: dict[str, Any] = {}
    for text in [overrides] if isinstance(overrides, str) else overrides:
        match = _OVERRIDE.fullmatch(str(text).strip())
        if match is not None and COMPILE_KEY.match(match[1]):
            continue  # says how fast, not what
        if match is None or match[1] not in _KNOWN:
            raise ModelError(
                f"hydra_overrides_extra: {text!r} is no override that is known here. Known are "
                f"++model.KEY=VALUE with these keys: {', '.join(sorted(_KNOWN - {'name'}))}. Write what else "
                "differs into a YAML file and give its path."
            )
        try:
            options[match[1]] = yaml.safe_load(match[2])
        except yaml.YAMLError:
            raise ModelError(f"hydra_overrides_extra: the value of {text!r} cannot be read.") from None
    return options


def takes_official_arguments(build: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a builder whose first argument is `config` and which takes options by name."""

    @functools.wraps(build)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        given: dict[str, Any] = dict(kwargs)
        own, further = args[:_OURS], args[_OURS:]
        if len(further) > len(_ORDER):
            raise TypeError(f"{build.__name__} takes at most {_OURS + len(_ORDER)} arguments without a name.")
        given |= dict(zip(_ORDER, further, strict=False))
        if "config_file" in given and not args and "config" not in given:
            given["config"] = given.pop("config_file")
        given = read_overrides(given.pop("hydra_overrides_extra", None) or ()) | given
        return build(*own, **given)  # type: ignore[arg-type]

    return wrapped
