"""Signals, and an end that the main thread waits for.

No handler runs Python code between two bytecodes: all signals of interest are blocked in every
thread, and the main thread takes them one by one with ``sigwait``.  A handler that sets a
``threading.Event`` can deadlock on the event's own lock.
"""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

WAKE = signal.SIGUSR1
"""What another thread of ours raises to end the main thread's wait."""
_ENDINGS = frozenset({signal.SIGTERM, signal.SIGINT})
AWAITED = _ENDINGS | {signal.SIGHUP, WAKE}


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

    def thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Start a thread whose end by an error ends the agent."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - whatever ends it
                self.set(error)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread


def block_signals() -> None:
    """Keep signals from this thread and every one it starts from now on, until someone waits for them.

    Called before anything else: until then SIGHUP ends a process, as its default action.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)


def told_to_stop() -> bool:
    """Whether a signal to end has come that nobody has taken yet."""
    return bool(_ENDINGS & signal.sigpending())


def wait(failure: Failure) -> Woken:
    """Wait, in the main thread, for the next signal that means something."""
    while True:
        received = signal.sigwait(AWAITED)
        if received == signal.SIGHUP:
            return Woken.RELOAD
        if received in _ENDINGS:
            return Woken.STOP
        if failure.error is not None:  # else it came from outside, where it means nothing
            return Woken.FAILED
