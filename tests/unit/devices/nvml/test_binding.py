"""Calls that came with newer drivers, and what stands in for them on older ones."""

from types import SimpleNamespace

import pynvml
import pytest

from agent.devices.nvml import binding
from agent.devices.nvml.binding import Handle
from agent.devices.nvml.errors import NvmlCallError

CARD = Handle(object())


def _absent(_: object) -> list[SimpleNamespace]:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)


def _failing(_: object) -> list[SimpleNamespace]:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)


def _rows(_: object) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=7, usedGpuMemory=None)]


def test_an_older_driver_lists_processes_by_the_older_call() -> None:
    """Before driver 510 there is no third version: the list is not empty, it is asked otherwise."""
    assert binding._processes(_absent, _rows, CARD) == [(7, None)]


def test_a_failed_list_is_not_asked_otherwise() -> None:
    """An error that is none of age stays one."""
    with pytest.raises(NvmlCallError, match="UNKNOWN"):
        binding._processes(_failing, _rows, CARD)
