"""The grid's carbon intensity from a file that another tool keeps fresh."""

import errno
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from agent.cost.energy import CarbonIntensity
from agent.errors import ConfigError
from agent.ports import Clock
from agent.units import seconds

log = logging.getLogger(__name__)

MAX_BYTES = 4_096


class IntensityFile:
    """Reads the file; says once why it is not believed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told = ""

    def read(
        self, path: Path, max_age_ns: int, parse: Callable[[str], CarbonIntensity]
    ) -> CarbonIntensity | None:
        """The intensity, or None when the file is missing, too old or says something else.

        ``parse`` raises ``ConfigError``.
        """
        try:
            text, changed_wall_ns = _content(path)
            age_ns = self._clock.now().wall_ns - changed_wall_ns
            intensity = parse(text)
        except OSError as error:
            self._refuse(path, f"cannot be read: {error.strerror}")
            return None
        except ConfigError as error:
            self._refuse(path, error.faults[0].problem)
            return None
        if age_ns > max_age_ns:
            self._refuse(path, f"is older than {seconds(max_age_ns):.0f} s")
            return None
        self._told = ""
        return intensity

    def _refuse(self, path: Path, why: str) -> None:
        if why != self._told:
            log.warning("%s: %s; carbon is not known until it is good again", path, why)
        self._told = why


def _content(path: Path) -> tuple[str, int]:
    """What a file holds, and when it was changed last (UTC nanoseconds).

    Raises:
        OSError: it cannot be read, or is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
            raise OSError(errno.EINVAL, "it is not a file")
        return stream.read(MAX_BYTES).decode(errors="replace"), found.st_mtime_ns
