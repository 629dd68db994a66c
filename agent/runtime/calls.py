"""One call into the device source, its errors turned into values; made on a reader's thread alone."""

import logging
from collections.abc import Hashable
from typing import TypeAlias, Union

from agent.errors import DriverError, GpuError
from agent.ports import DeviceSource, Session
from agent.runtime.shift import Job, Task
from agent.samples.device import FaultReason, GpuFault, GpuIdentity, GpuSample

log = logging.getLogger(__name__)

Result: TypeAlias = Union[Session, GpuIdentity, GpuSample, GpuFault, DriverError, "Census"]


class Census:
    """What the source saw when it looked for cards; compared, never shown."""

    def __init__(self, seen: Hashable) -> None:
        self.seen = seen


class Calls:
    """Makes the calls of a source; a defect in one of them never ends the reader."""

    def __init__(self, source: DeviceSource) -> None:
        self._source = source
        self._broken: set[Job] = set()

    def make(self, job: Job) -> Result:
        """Do a job and return what came of it."""
        try:
            return self._call(job)
        except GpuError as error:
            reason = FaultReason.LOST if error.lost else FaultReason.FAILED
            return GpuFault(job.uuid, reason, error.code)
        except DriverError as error:
            return error
        except Exception:
            # A defect of ours in reading one card: that card is unknown, and we say so once.
            if job not in self._broken:
                log.exception("%s failed unexpectedly", job)
            self._broken.add(job)
            if job.task in {Task.NAME, Task.READ}:
                return GpuFault(job.uuid, FaultReason.FAILED)
            return DriverError(f"{job} failed unexpectedly")

    def close(self) -> None:
        """Let go of the driver."""
        self._source.close()

    def _call(self, job: Job) -> Result:
        match job.task:
            case Task.OPEN:
                return self._source.open()
            case Task.NAME:
                return self._source.identify(job.index)
            case Task.READ:
                return self._source.read(job.uuid)
            case Task.CENSUS:
                return Census(self._source.census())
