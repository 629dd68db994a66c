"""Signals, and an end that the main thread waits for.

No handler runs Python code between two bytecodes: all signals of interest are blocked in every
thread, and the main thread takes them one by one with ``sigwait``.  A handler that sets a
``threading.Event`` can deadlock on the event's own lock.
"""

import os
import signal
import threading
from dataclasses import dataclass, field
from enum import Enum, auto

WAKE = signal.SIGUSR1
"""What another thread of ours raises to end the main thread's wait."""
AWAITED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, WAKE})


class Woken(Enum):
    """Why the main thread's wait ended."""

    STOP = auto()
    RELOAD = auto()
    FAILED = auto()


@dataclass(slots=True)
class Failure:
    """The first error that ended a thread."""

    error: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, error: BaseException) -> None:
        """Keep the first error and wake the main thread."""
        with self.lock:
            if self.error is None:
                self.error = error
        os.kill(os.getpid(), WAKE)


def block_signals() -> None:
    """Keep signals from every thread that is started from now on; call before there are any."""
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)


def wait() -> Woken:
    """Wait, in the main thread, for the next signal."""
    received = signal.sigwait(AWAITED)
    if received == signal.SIGHUP:
        return Woken.RELOAD
    return Woken.FAILED if received == WAKE else Woken.STOP
