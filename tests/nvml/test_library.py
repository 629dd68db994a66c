"""The scripted library, called by the real pynvml in processes of their own."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.nvml.library import (
    GPU_IS_LOST,
    NOT_SUPPORTED,
    UNINITIALIZED,
    Card,
    Script,
    build,
    environment,
    read_counters,
)
from tests.nvml.profiles import H100, L40S, MIB, PROFILES, RTX_4090, T4, Profile
from tests.nvml.timeline import Timeline

# Evaluates one expression a line. An NVML error becomes {"error": code}.
CALLER = """
import json, sys, threading, time
import pynvml
from pynvml import *

kept = {}

def card(index):
    if index not in kept:
        kept[index] = nvmlDeviceGetHandleByIndex(index)
    return kept[index]

def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "_fields_"):
        return {name: plain(getattr(value, name)) for name, *_ in value._fields_}
    if hasattr(value, "usedGpuMemory"):
        return {"pid": value.pid, "memory": value.usedGpuMemory}
    return value if isinstance(value, (int, float, str, dict, type(None))) else repr(value)

def attempt(call):
    try:
        return plain(call())
    except NVMLError as error:
        return {"error": error.value}
    except Exception as error:
        return {"exception": type(error).__name__}

def fields(index, *numbers):
    return [
        field.nvmlReturn or field.value.ullVal
        for field in nvmlDeviceGetFieldValues(card(index), list(numbers))
    ]

def restart():
    nvmlShutdown()
    kept.clear()
    nvmlInit()

for line in sys.stdin:
    print(json.dumps(attempt(lambda: eval(line))), flush=True)
"""


class Caller:
    """A process with pynvml and the scripted library, told what to evaluate."""

    def __init__(self, library: Path, script: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CALLER],
            env={**os.environ, **environment(library.parent, script)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, expression: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(expression + "\n")
        self._process.stdin.flush()

    def receive(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def __call__(self, expression: str) -> Any:
        self.send(expression)
        return self.receive()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def error(code: int) -> dict[str, int]:
    return {"error": code}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def script(tmp_path: Path) -> Script:
    script = Script(tmp_path / "script")
    script.counters = tmp_path / "counters"
    return script


Start = Callable[..., Caller]


@pytest.fixture
def start(library: Path, script: Script) -> Iterator[Start]:
    """Start a process that reads the script; initialised unless said otherwise."""
    callers: list[Caller] = []

    def starter(*, init: bool = True, other_library: Path | None = None) -> Caller:
        script.write()
        caller = Caller(other_library or library, script.path)
        callers.append(caller)
        if init:
            assert caller("nvmlInit()") is None
        return caller

    yield starter
    for caller in callers:
        caller.kill()


# Building


def test_build_is_cached_by_source_and_symbols(library: Path) -> None:
    before = library.stat()
    assert build(library.parent) == library
    assert library.stat().st_ino == before.st_ino


def test_old_driver_lacks_symbols(script: Script, start: Start, tmp_path: Path) -> None:
    script.add(H100)
    old = build(tmp_path / "old", without={"nvmlDeviceGetMemoryInfo_v2"})
    caller = start(other_library=old)
    assert caller("nvmlDeviceGetMemoryInfo(card(0), version=nvmlMemory_v2)") == error(13)
    assert caller("nvmlDeviceGetMemoryInfo(card(0)).used") == H100.memory_reserved


# Identity and families


def test_identity(script: Script, start: Start) -> None:
    script.add(H100)
    card = script.add(L40S)
    caller = start()
    assert caller("nvmlDeviceGetCount()") == 2
    assert caller("nvmlDeviceGetName(card(1))") == "NVIDIA L40S"
    assert caller("nvmlDeviceGetUUID(card(1))") == card.uuid
    assert caller("nvmlDeviceGetSerial(card(1))") == card.serial
    assert caller("nvmlDeviceGetIndex(card(1))") == 1
    pci = caller("nvmlDeviceGetPciInfo(card(1))")
    assert (pci["bus"], pci["pciDeviceId"]) == (0x11, L40S.pci_device)
    assert caller("nvmlDeviceGetPciInfo(card(1)).busId") == card.bus_id
    assert caller(f"nvmlDeviceGetIndex(nvmlDeviceGetHandleByUUID(b'{card.uuid}'))") == 1
    assert caller(f"nvmlDeviceGetIndex(nvmlDeviceGetHandleByPciBusId(b'{card.bus_id}'))") == 1
    assert caller("nvmlDeviceGetHandleByUUID(b'GPU-none')") == error(6)
    assert caller("nvmlDeviceGetHandleByIndex(2)") == error(2)
    assert caller("nvmlSystemGetDriverVersion()") == "590.48.01"
    assert caller("nvmlSystemGetCudaDriverVersion()") == 13010
    assert caller("nvmlErrorString(15)") == "GPU is lost"


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_family_answers(profile: Profile, script: Script, start: Start) -> None:
    script.add(profile)
    caller = start()
    has = profile in (H100, L40S)
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == profile.idle_power_mw
    assert caller("nvmlDeviceGetEnforcedPowerLimit(card(0))") == profile.power_limits_mw[1]
    assert caller("nvmlDeviceGetPowerManagementLimitConstraints(card(0))") == [
        profile.power_limits_mw[0],
        profile.power_limits_mw[2],
    ]
    assert caller("nvmlDeviceGetTotalEnergyConsumption(card(0))") >= 0
    assert caller("nvmlDeviceGetRemappedRows(card(0))") == (
        [0, 0, 0, 0] if has else error(NOT_SUPPORTED)
    )
    assert caller("nvmlDeviceGetMigMode(card(0))") == (
        [0, 0] if profile is H100 else error(NOT_SUPPORTED)
    )
    assert caller("nvmlDeviceGetFanSpeed(card(0))") == (
        0 if profile is RTX_4090 else error(NOT_SUPPORTED)
    )
    assert caller("nvmlDeviceGetTotalEccErrors(card(0), 1, 0)") == (
        error(NOT_SUPPORTED) if profile is RTX_4090 else 0
    )
    average, instant, limit, unknown = caller("fields(0, 185, 186, 190, 500)")
    assert average == (NOT_SUPPORTED if profile is T4 else profile.idle_power_mw)
    assert instant == profile.idle_power_mw
    assert limit == profile.power_limits_mw[1]
    assert unknown == NOT_SUPPORTED
    assert caller("fields(0, (186, 1))") == [NOT_SUPPORTED]


def test_memory_versions(script: Script, start: Start) -> None:
    script.add(H100, memory=20_000 * MIB)
    caller = start()
    one = caller("nvmlDeviceGetMemoryInfo(card(0))")
    two = caller("nvmlDeviceGetMemoryInfo(card(0), version=nvmlMemory_v2)")
    assert two["used"] == 20_000 * MIB
    assert two["reserved"] == 502_267_904
    assert two["used"] + two["free"] + two["reserved"] == two["total"] == 81559 * MIB
    assert one["used"] == two["used"] + two["reserved"]
    assert one["used"] + one["free"] == one["total"] == two["total"]
    assert caller("nvmlDeviceGetMemoryInfo(card(0), version=2)") == error(25)


# Values over time and energy


def test_values_follow_the_script(script: Script, start: Start) -> None:
    card = script.add(H100)
    card.power = Timeline.of((0, 70_000), (10, 100_000, 600_000), (20, 600_000))
    card.gpu_utilization = Timeline.of((0, 0), (1, 100), period=4)
    card.temperature = Timeline.of((0, 40, 60), (100, 60))
    script.fixed_time = 0.0
    caller = start()
    for at, power, utilization, temperature in (
        (5, 70, 100, 41),
        (12, 200, 0, 42),
        (99, 600, 100, 59),
    ):
        script.fixed_time = at
        script.settle()
        assert caller("nvmlDeviceGetPowerUsage(card(0))") == power * 1000
        assert caller("nvmlDeviceGetUtilizationRates(card(0)).gpu") == utilization
        assert caller("nvmlDeviceGetTemperature(card(0), 0)") == temperature
        assert caller("nvmlDeviceGetTemperatureV(card(0), 0)") == temperature


def test_mean_and_instant_power(script: Script, start: Start) -> None:
    card = script.add(H100)
    card.power = Timeline.of((0, 100_000), (10, 500_000))
    script.fixed_time = 10.25
    caller = start()
    assert caller("fields(0, 185, 186)") == [200_000, 500_000]
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == 500_000
    card.power_window_ms = 1000
    script.settle()
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == 200_000


def test_energy_is_the_integral_and_survives_a_restart(script: Script, start: Start) -> None:
    card = script.add(H100, power_mw=400_000)
    card.energy_base_mj = 5_000_000_000_000  # does not fit 32 bits
    readings = []
    for _ in range(2):
        caller = start()
        before = script.energy_mj(card, script.now())
        readings += [caller("nvmlDeviceGetTotalEnergyConsumption(card(0))") for _ in range(3)]
        assert before <= readings[-3]
        assert readings[-1] <= script.energy_mj(card, script.now())
    assert readings == sorted(readings)
    assert readings[-1] > readings[0]


def energy_at(script: Script, caller: Caller, at: float) -> Any:
    script.fixed_time = at
    script.settle()
    return caller("nvmlDeviceGetTotalEnergyConsumption(card(0))")


def test_energy_events(script: Script, start: Start) -> None:
    card = script.add(H100, power_mw=100_000)
    card.energy_base_mj = 1000
    card.freeze_energy(10, 20)
    card.jump_energy(30, 50)
    card.reset_energy(40)
    card.freeze_energy(50, 60, mode="catch_up")
    script.fixed_time = 0.0
    caller = start()
    expected = {
        5: 501_000,
        15: 1_001_000,
        20: 1_001_000,
        30: 2_001_050,
        40: 0,
        45: 500_000,
        55: 1_000_000,
        60: 2_000_000,
    }
    assert {at: energy_at(script, caller, at) for at in expected} == expected
    assert {at: script.energy_mj(card, at) for at in expected} == expected
    assert card.used_mj(0, 20) == 2_000_000
    assert caller("fields(0, 83, 191)") == [2_000_000, 2_000_000]
    card.without_energy()
    script.settle()
    assert caller("nvmlDeviceGetTotalEnergyConsumption(card(0))") == error(NOT_SUPPORTED)
    assert caller("fields(0, 83)") == [NOT_SUPPORTED]


def test_changing_the_power_keeps_the_past(script: Script, start: Start) -> None:
    card = script.add(H100)
    card.power = Timeline.of((0, 70_000), (1, 70_000, 700_000), period=3)
    script.fixed_time = 7.5
    caller = start()
    before = caller("nvmlDeviceGetTotalEnergyConsumption(card(0))")
    card.set_power(500_000, at=7.5)
    assert energy_at(script, caller, 7.5) == before
    assert energy_at(script, caller, 8.5) == before + 500_000


powers = st.integers(0, 1_200_000)
moments = st.integers(0, 10**12).map(lambda ns: ns / 1e9)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    gaps = draw(st.lists(st.integers(1, 10**11), min_size=0, max_size=4))
    starts = [sum(gaps[:i]) / 1e9 for i in range(len(gaps) + 1)]
    points: list[tuple[float, int, int]] = []
    for start_seconds in starts:
        value, end = draw(powers), draw(powers)
        points.append((start_seconds, value, end))
    if draw(st.booleans()):
        return Timeline.of(*points, period=(sum(gaps) + draw(st.integers(1, 10**11))) / 1e9)
    last = points[-1]
    return Timeline.of(*points[:-1], (last[0], last[1], last[1]))


def disturb(card: Card, event: tuple[str, float, float]) -> None:
    kind, at, length = event
    if kind == "reset":
        card.reset_energy(at)
    elif kind == "jump":
        card.jump_energy(at, round(length * 1000) - 5000)
    else:
        card.freeze_energy(at, at + length, mode=kind)


@given(
    power=timelines(),
    times=st.lists(moments, min_size=1, max_size=3),
    events=st.lists(
        st.tuples(st.sampled_from(["reset", "jump", "lose", "catch_up"]), moments, moments),
        max_size=3,
    ),
    step=st.sampled_from([0, 0, 20, 100]),
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_library_and_python_agree_on_energy(
    script: Script,
    shared_caller: Caller,
    power: Timeline,
    times: list[float],
    events: list[tuple[str, float, float]],
    step: int,
) -> None:
    card = script.order[0]
    card.power, card.energy_step_ms, card.energy_base_mj = power, step, 123
    card.energy_events.clear()
    for event in events:
        disturb(card, event)
    for at in times:
        assert energy_at(script, shared_caller, at) == script.energy_mj(card, at)
        power_at = shared_caller("nvmlDeviceGetPowerUsage(card(0))")
        assert power_at == power.value(round(at * 1e9))


@pytest.fixture
def shared_caller(script: Script, start: Start) -> Caller:
    script.add(H100)
    script.fixed_time = 0.0
    return start()


# Faults


def test_return_code_of_one_call_on_one_card(script: Script, start: Start) -> None:
    first, second = script.add(H100), script.add(H100)
    rule = script.fail("nvmlDeviceGetPowerUsage", code=3, card=second)
    script.fail("field:186", code=999, card=first)
    caller = start()
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == 70_000
    assert caller("nvmlDeviceGetPowerUsage(card(1))") == error(3)
    assert caller("nvmlDeviceGetUtilizationRates(card(1)).gpu") == 0
    assert caller("fields(0, 185, 186)") == [70_000, 999]
    script.remove(rule)
    script.settle()
    assert caller("nvmlDeviceGetPowerUsage(card(1))") == 70_000


def test_return_code_in_a_time_window(script: Script, start: Start) -> None:
    card = script.add(H100)
    script.fail(code=999, card=card, begin=10, until=20)
    script.fixed_time = 9.9
    caller = start()
    for at, code in ((9.9, None), (10, 999), (19.9, 999), (20, None)):
        script.fixed_time = at
        script.settle()
        expected = 0 if code is None else error(code)
        assert caller("nvmlDeviceGetUtilizationRates(card(0)).gpu") == expected


def test_return_code_for_a_number_of_calls(script: Script, start: Start) -> None:
    card = script.add(H100)
    script.fail("nvmlDeviceGetPowerUsage", code=10, card=card, count=2)
    caller = start()
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == error(10)
    script.settle()  # writing the same rule again does not renew it
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == error(10)
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == 70_000


def test_latency(script: Script, start: Start) -> None:
    card = script.add(H100)
    script.latency("nvmlDeviceGetPowerUsage", ms=200, card=card)
    caller = start()
    begin = time.monotonic()
    assert caller("nvmlDeviceGetUtilizationRates(card(0)).gpu") == 0
    middle = time.monotonic()
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == 70_000
    assert time.monotonic() - middle >= 0.2
    assert middle - begin < 0.2


def blocked(script: Script) -> int:
    assert script.counters is not None
    return read_counters(script.counters).get("blocked", 0)


IN_A_THREAD = "threading.Thread(target=attempt, args=(lambda: {},), daemon=True).start()"


def test_one_hung_card_leaves_the_others(script: Script, start: Start) -> None:
    script.add(H100)
    second = script.add(H100)
    caller = start()
    caller("card(1)")
    hang = script.hang(card=second)
    script.settle()
    caller(IN_A_THREAD.format("kept.update(power=nvmlDeviceGetPowerUsage(card(1)))"))
    wait_until(lambda: blocked(script) == 1)
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == 70_000
    assert caller("kept.get('power')") is None
    script.remove(hang)
    script.write()
    wait_until(lambda: caller("kept.get('power')") == 70_000)
    assert blocked(script) == 0


def test_a_hung_library_blocks_every_call(script: Script, start: Start) -> None:
    script.add(H100)
    caller = start()
    hang = script.hang_library()
    script.settle()
    caller(IN_A_THREAD.format("nvmlDeviceGetCount()"))
    caller(IN_A_THREAD.format("nvmlSystemGetDriverVersion()"))
    wait_until(lambda: blocked(script) == 2)
    other = start(init=False)
    other.send("nvmlInit()")
    wait_until(lambda: blocked(script) == 3)
    script.remove(hang)
    script.write()
    assert other.receive() is None
    wait_until(lambda: blocked(script) == 0)


def test_a_hang_ends_with_its_window_or_the_file(script: Script, start: Start) -> None:
    script.add(H100)
    caller = start()
    until = script.now() + 0.1
    script.hang("nvmlDeviceGetPowerUsage", until=until)
    script.settle()
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == 70_000
    assert script.now() >= until
    script.hang("nvmlDeviceGetPowerUsage")
    script.settle()
    caller.send("nvmlDeviceGetPowerUsage(card(0))")
    wait_until(lambda: blocked(script) == 1)
    script.path.unlink()
    assert caller.receive() == 70_000


def test_lost_card_and_its_return_at_another_place(script: Script, start: Start) -> None:
    first, second = script.add(H100), script.add(H100)
    caller = start()
    assert caller("[nvmlDeviceGetIndex(card(i)) for i in range(2)]") == [0, 1]
    script.lose(first)
    script.settle()
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == error(GPU_IS_LOST)
    assert caller("nvmlDeviceGetName(card(0))") == error(GPU_IS_LOST)
    assert caller("nvmlDeviceGetHandleByIndex(0)") == error(GPU_IS_LOST)
    assert caller("nvmlDeviceGetCount()") == 2
    assert caller("nvmlDeviceGetPowerUsage(card(1))") == 70_000
    script.bring_back(first, index=1)
    script.settle()
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == error(GPU_IS_LOST)
    assert caller("nvmlDeviceGetUUID(card(1))") == second.uuid
    assert caller("restart()") is None
    uuids = caller("[nvmlDeviceGetUUID(card(i)) for i in range(2)]")
    assert uuids == [second.uuid, first.uuid]


def test_loss_nobody_saw_lasts_for_the_session(script: Script, start: Start) -> None:
    card = script.add(H100)
    script.lose(card, begin=10, until=20)
    script.fixed_time = 5.0
    caller = start()
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == 70_000
    script.fixed_time = 25.0
    script.settle()
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == error(GPU_IS_LOST)
    assert caller("restart()") is None
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == 70_000


def test_handles_end_with_their_session(script: Script, start: Start) -> None:
    script.add(H100)
    caller = start()
    assert caller("nvmlDeviceGetIndex(card(0))") == 0
    assert caller("[nvmlShutdown(), nvmlInit()]") == [None, None]
    assert caller("nvmlDeviceGetIndex(card(0))") == error(2)
    assert caller("nvmlDeviceGetIndex(nvmlDeviceGetHandleByIndex(0))") == 0


def test_vanished_card(script: Script, start: Start) -> None:
    first, second = script.add(H100), script.add(H100)
    caller = start()
    caller("card(0)")
    script.vanish(first)
    script.settle()
    assert caller("nvmlDeviceGetCount()") == 1  # of cards as they are; handles stay as they were
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == error(GPU_IS_LOST)
    assert caller("restart()") is None
    assert caller("nvmlDeviceGetCount()") == 1
    assert caller("nvmlDeviceGetUUID(card(0))") == second.uuid


def test_mig_instances_are_named_after_their_card(script: Script, start: Start) -> None:
    card = script.add(H100)
    card.enable_mig("3g.40gb", "-", "1g.10gb")
    caller = start()
    assert caller("nvmlDeviceGetMigMode(card(0))") == [1, 1]
    assert caller("nvmlDeviceGetMaxMigDeviceCount(card(0))") == 7
    named = "nvmlDeviceGetName(nvmlDeviceGetMigDeviceHandleByIndex(card(0), {}))"
    assert caller(named.format(0)) == f"{card.name} MIG 3g.40gb"
    assert caller(named.format(1)) == error(6)
    assert caller(named.format(2)) == f"{card.name} MIG 1g.10gb"
    assert caller(named.format(7)) == error(2)
    assert caller(
        "nvmlDeviceGetPowerUsage(nvmlDeviceGetMigDeviceHandleByIndex(card(0), 0))"
    ) == error(NOT_SUPPORTED)


@pytest.mark.parametrize("code", [9, 4])
def test_driver_absent_then_there(code: int, script: Script, start: Start) -> None:
    script.add(H100)
    failure = script.driver_fails(code)
    caller = start(init=False)
    assert caller("nvmlInit()") == error(code)
    assert caller("nvmlDeviceGetCount()") == error(UNINITIALIZED)
    script.remove(*failure)
    script.settle()
    assert caller("nvmlInit()") is None
    assert caller("nvmlDeviceGetCount()") == 1


def test_no_script_is_no_driver(library: Path, tmp_path: Path) -> None:
    caller = Caller(library, tmp_path / "absent")
    assert caller("nvmlInit()") == error(9)
    caller.kill()


@pytest.mark.parametrize("code", [UNINITIALIZED, GPU_IS_LOST])
def test_driver_reload(code: int, script: Script, start: Start) -> None:
    card = script.add(H100, power_mw=100_000)
    card.energy_base_mj = 10**9
    script.reload_driver(10, code=code)
    script.fixed_time = 5.0
    caller = start()
    assert energy_at(script, caller, 6.0) == 10**9 + 600_000
    script.fixed_time = 11.0
    script.settle()
    assert caller("nvmlDeviceGetCount()") == error(code)
    assert caller("nvmlDeviceGetPowerUsage(card(0))") == error(code)
    assert caller("restart()") is None
    assert energy_at(script, caller, 12.0) == script.energy_mj(card, 12.0) == 200_000


def test_upgraded_driver_needs_a_new_process(script: Script, start: Start) -> None:
    script.add(H100)
    caller = start()
    script.reload_driver(script.now(), upgraded=True)
    script.driver_version = "595.80"
    script.settle()
    assert caller("nvmlDeviceGetCount()") == error(UNINITIALIZED)
    assert caller("restart()") == error(18)
    assert caller("nvmlInit()") == error(18)
    assert start()("nvmlSystemGetDriverVersion()") == "595.80"


def test_a_script_with_a_mistake_fails_loudly(script: Script, start: Start) -> None:
    script.add(H100)
    caller = start()
    script.path.write_text(script.text() + "fail call=nvmlDeviceGetPowerUsgae code=3\n")
    time.sleep(0.01)
    assert caller("nvmlDeviceGetCount()") == error(999)


# Processes


def test_processes(script: Script, start: Start) -> None:
    card = script.add(H100)
    script.process(card, 101, 2_566 * MIB, sm=30)
    script.process(card, 102, None)
    script.process(card, 103, 200 * MIB, kind="graphics")
    script.process(card, 104, MIB, kind="mps")
    caller = start()
    assert caller("nvmlDeviceGetComputeRunningProcesses(card(0))") == [
        {"pid": 101, "memory": 2_566 * MIB},
        {"pid": 102, "memory": None},
    ]
    assert caller("nvmlDeviceGetGraphicsRunningProcesses(card(0))")[0]["pid"] == 103
    assert caller("nvmlDeviceGetMPSComputeRunningProcesses(card(0))")[0]["pid"] == 104
    samples = caller("nvmlDeviceGetProcessUtilization(card(0), 0)")
    assert [(s["pid"], s["smUtil"]) for s in samples] == [(101, 30)]
    newest = samples[0]["timeStamp"]
    assert abs(newest / 1e6 - time.time()) < 1
    assert caller(f"nvmlDeviceGetProcessUtilization(card(0), {newest + 10**9})") == error(6)
    assert caller("nvmlDeviceGetProcessesUtilizationInfo(card(0), 0)")[0]["smUtil"] == 30


def test_process_list_that_does_not_fit(script: Script, start: Start) -> None:
    card = script.add(H100)
    for pid in range(3):
        script.process(card, pid + 1, MIB)
    caller = start()
    call = (
        "(lambda room, count: [pynvml._nvmlGetFunctionPointer("
        "'nvmlDeviceGetComputeRunningProcesses_v3')"
        "(card(0), byref(count), room), count.value])"
    )
    assert caller(f"{call}(None, c_uint(0))") == [7, 3]
    assert caller(f"{call}((c_nvmlProcessInfo_v3_t * 2)(), c_uint(2))") == [7, 3]
    assert caller(f"{call}((c_nvmlProcessInfo_v3_t * 9)(), c_uint(9))") == [0, 3]


def test_success_without_samples_is_pynvmls_error_zero(script: Script, start: Start) -> None:
    script.add(H100)
    script.fail("nvmlDeviceGetProcessUtilization", code=0)
    assert start()("nvmlDeviceGetProcessUtilization(card(0), 0)") == error(0)


# Counting and cost


def test_calls_are_counted(script: Script, start: Start) -> None:
    script.add(H100)
    assert script.counters is not None
    assert read_counters(script.counters) == {}
    caller = start()
    before = read_counters(script.counters)
    caller("[nvmlDeviceGetPowerUsage(card(0)) for _ in range(5)]")
    after = read_counters(script.counters)
    assert after["nvmlDeviceGetPowerUsage"] - before["nvmlDeviceGetPowerUsage"] == 5
    assert after["nvmlDeviceGetUtilizationRates"] == 0
    start()
    assert read_counters(script.counters)["nvmlInitWithFlags"] == 2


def test_a_call_is_cheap(script: Script, start: Start) -> None:
    for _ in range(8):
        script.add(H100)
    caller = start()
    seconds = caller(
        "(lambda call, handle, answer: min((lambda begin: [call(handle, byref(answer))"
        " for _ in range(2000)] and time.perf_counter() - begin)(time.perf_counter())"
        " for _ in range(5)) / 2000)"
        "(pynvml._nvmlGetFunctionPointer('nvmlDeviceGetTotalEnergyConsumption')"
        " if nvmlDeviceGetTotalEnergyConsumption(card(0)) else None, card(0), c_ulonglong())"
    )
    assert seconds < 10e-6  # most of it is ctypes; the bound is loose for a busy machine


def test_nvitop_exporter_serves_eight_cards(library: Path, script: Script, tmp_path: Path) -> None:
    pytest.importorskip("nvitop_exporter", exc_type=ImportError)
    for number in range(8):
        script.add(H100, power_mw=(number + 1) * 50_000, memory=number * 1024 * MIB)
    card = script.order[7]
    script.process(card, os.getpid(), 512 * MIB, sm=40)
    script.write()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "log"
    with log.open("wb") as output:
        exporter = subprocess.Popen(
            [sys.executable, "-m", "nvitop_exporter", "-B", "127.0.0.1", "-p", str(port)],
            env={**os.environ, **environment(library.parent, script.path)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        page = scrape_when_ready(f"http://127.0.0.1:{port}/metrics", "gpu_power_usage", 8)
    finally:
        exporter.terminate()
        exporter.wait()
    powers_shown = sorted(
        float(line.rsplit(" ", 1)[1])
        for line in page.splitlines()
        if line.startswith("gpu_power_usage")
    )
    assert powers_shown == [50.0 * (number + 1) for number in range(8)]
    assert "not found" not in log.read_text().lower()


def scrape_when_ready(address: str, metric: str, series: int) -> str:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=2) as response:
                page = str(response.read().decode())
        except OSError:
            page = ""
        if sum(line.startswith(metric) for line in page.splitlines()) == series:
            return page
        time.sleep(0.05)
    raise AssertionError(f"no {series} series of {metric} at {address}")
