"""Asking the driver once, for commands: a call into it may hang for ever, so nobody waits in it."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from agent.errors import DriverError
from agent.ports import DeviceSource
from agent.runtime.lifecycle import block_signals, told_to_stop

log = logging.getLogger(__name__)

T = TypeVar("T")

THREAD_NAME = "driver"
PATIENCE_SECONDS = 60.0
"""Without a persistence daemon a card is initialised first, which takes seconds each."""
_LOOKS_PER_SECOND = 10
_QUIET_SECONDS = 3
"""After so long the person who waits is told what for."""


def ask(
    source: DeviceSource,
    question: Callable[[DeviceSource], T],
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> T:
    """What ``question`` gets out of a source; whoever waits can end it by a signal.

    Raises:
        DriverError: it does not answer, or hangs; then its thread is left behind.
    """
    answer: Future[T] = Future()

    def work() -> None:
        block_signals()  # they are for the thread that waits
        try:
            answer.set_result(question(source))
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
            answer.set_exception(error)
        finally:
            source.close()

    threading.Thread(target=work, name=THREAD_NAME, daemon=True).start()
    for look in range(round(patience_seconds * _LOOKS_PER_SECOND)):
        if wait([answer], 1 / _LOOKS_PER_SECOND).done:
            return answer.result()
        if told_to_stop():
            raise DriverError("nobody waited for it")
        if look == _QUIET_SECONDS * _LOOKS_PER_SECOND:
            log.warning("waiting for the NVIDIA driver, at most %d s", patience_seconds)
    raise DriverError(f"it hangs: no answer within {patience_seconds:.0f} s")


def driver_hangs() -> bool:
    """Whether a thread of this process is still in a call that was given up."""
    return any(thread.name == THREAD_NAME for thread in threading.enumerate())
