"""The version of ocusam, written down once.

The build reads it from here, `ocusam.__version__` and `run.json` import it from here, and the newest entry of
CHANGELOG.md must name it (tests/test_repository.py).
"""

__version__ = "0.1.0"
