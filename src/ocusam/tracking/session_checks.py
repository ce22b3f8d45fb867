"""What is handed over as `inference_state`: people give the video itself, or a state of another package."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ocusam.core.errors import InputError
from ocusam.tracking.session import VideoSession

Class = TypeVar("Class", bound=type)
_NAME = "inference_state"


def checks_sessions(predictor: Class) -> Class:
    """Decorator of a predictor: methods whose first argument is `inference_state` refuse everything that is
    none, and say what to do."""
    for name, method in list(vars(predictor).items()):
        if inspect.isfunction(method) and list(inspect.signature(method).parameters)[1:2] == [_NAME]:
            setattr(predictor, name, _checked(method))
    return predictor


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        state = args[0] if args else kwargs.get(_NAME)
        if not isinstance(state, VideoSession) and (args or _NAME in kwargs):
            raise InputError(_advice(state, method.__name__))
        return method(self, *args, **kwargs)

    return checked


def _advice(state: Any, method: str) -> str:
    video = repr(str(state)) if isinstance(state, str | Path) else "video"
    what = f"the text {state!r}" if isinstance(state, str) else f"a {type(state).__name__}"
    return (
        f"{method}: inference_state is {what}, not what init_state returns; write state = "
        f"predictor.init_state({video}), and give state to the other methods."
    )
