"""How long a thread may keep Python's lock while others wait for it.

Purpose: tracking and measuring run in threads of one process. The network computes outside the lock;
measuring is many short calls that hold it. A tracker whose network has just answered waits for the lock up
to Python's switch interval, 5 ms by default, and it does so several times a frame: longer than the network
takes. With `short_turns` the waits are a tenth of that.

Notable choices: the interval belongs to the whole process, so it is put back, and one that is shorter already
is left alone. Runs may overlap in threads; the last one to end puts it back. The order of threads changes no
number.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TURN_S = 5e-4

_lock = threading.Lock()
_users = 0
_before = 0.0


@contextmanager
def short_turns() -> Iterator[None]:
    """Let threads take turns every `TURN_S` seconds while the context lasts."""
    global _users, _before
    with _lock:
        if not _users:
            _before = sys.getswitchinterval()
            if _before > TURN_S:
                sys.setswitchinterval(TURN_S)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _before > TURN_S:
                sys.setswitchinterval(_before)
