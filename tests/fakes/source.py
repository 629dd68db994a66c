"""Cards that answer what a test puts into them."""

from agent.errors import DriverError, GpuError
from agent.ports import DeviceSource, Session
from agent.samples.device import GpuIdentity, GpuSample


class FakeSource(DeviceSource):
    """``DeviceSource`` in memory: ``samples`` by UUID; ``faults`` and ``down`` are raised."""

    def __init__(self, *gpus: GpuIdentity) -> None:
        self.gpus = gpus
        self.samples: dict[str, GpuSample] = {}
        self.faults: dict[str, GpuError] = {}
        self.down: DriverError | None = None
        self.closed = False

    @property
    def kind(self) -> str:
        return "simulated"

    def open(self) -> Session:
        return Session("595.10", len(self.gpus), self.census())

    def identify(self, index: int) -> GpuIdentity:
        return self.gpus[index]

    def census(self) -> int:
        if self.down is not None:
            raise self.down
        return len(self.gpus)

    def read(self, uuid: str) -> GpuSample:
        if self.down is not None:
            raise self.down
        if uuid in self.faults:
            raise self.faults[uuid]
        return self.samples[uuid]

    def close(self) -> None:
        self.closed = True
