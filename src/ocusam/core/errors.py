"""Errors a user can cause, one family.

Purpose: everything that a user can get wrong (a path, a click, a model name, a weights file, an output
folder) raises a member of the `OcusamError` family, so that the command line prints one line and ends with
exit code 2, and a Python caller can catch the family as a whole. A message says what was given, what is
allowed and what to do.

Notable choices: the family derives from `ValueError` because that is what callers of comparable packages
catch. Broken invariants of our own are `assert`, never one of these.
"""


class OcusamError(ValueError):
    """Base of everything a user can get wrong. `str(error)` is fit to be shown as it is, on one line."""


class InputError(OcusamError):
    """An input file or value cannot be used: missing, not a video, without frames, of a wrong shape."""


class PromptError(OcusamError):
    """A prompt (click, box, mask) cannot be used: outside the picture, unknown object name, unreadable
    text."""


class ModelError(OcusamError):
    """An unknown model name, or options that do not fit together."""


class WeightsError(OcusamError):
    """A weights file is missing, damaged, or does not fit the network."""


class OutputError(OcusamError):
    """The output folder cannot be used: it holds another run, or it cannot be written."""
