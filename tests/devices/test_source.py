"""Sessions of the NVML source: opening, listing, losing and reopening, through the real pynvml."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.devices.harness import Probe
from tests.nvml.library import Script
from tests.nvml.profiles import H100, L40S, T4

ProbeStart = Callable[..., Probe]

LOOK_ALIKE = """
class NVMLError(Exception):
    value = 0
class NVMLLibraryMismatchError(Exception):
    pass
def nvmlInit():
    raise SystemExit("a look-alike was called")
"""
NO_PERMISSION, NO_DRIVER, MISMATCH, UNKNOWN, LOST = 4, 9, 18, 999, 15


def test_cards_are_listed_with_what_names_them(script: Script, probe: ProbeStart) -> None:
    """The inventory is the enumeration: UUID, index, model, bus id, driver version."""
    cards = [script.add(H100), script.add(T4)]
    inventory = probe().open()
    assert (inventory["driver_version"], inventory["unreadable"]) == ("590.48.01", 0)
    assert [
        (gpu["uuid"], gpu["index"], gpu["model"], gpu["pci_bus_id"]) for gpu in inventory["gpus"]
    ] == [(card.uuid, index, card.name, card.bus_id) for index, card in enumerate(cards)]


@pytest.mark.parametrize(
    ("call", "field"), [("nvmlDeviceGetName", "model"), ("nvmlDeviceGetPciInfo_v3", "pci_bus_id")]
)
@pytest.mark.parametrize("code", [3, UNKNOWN, LOST])
def test_a_card_is_listed_by_its_uuid_whatever_else_it_tells(
    script: Script, probe: ProbeStart, call: str, field: str, code: int
) -> None:
    """A name is for people: without it a card is measured and paid for all the same."""
    cards = [script.add(H100), script.add(H100)]
    script.fail(call, card=cards[1], code=code)
    gpus = probe().open()["gpus"]
    assert [gpu["uuid"] for gpu in gpus] == [card.uuid for card in cards]
    assert gpus[1][field] == ""
    assert gpus[0][field]


def test_a_driver_that_does_not_tell_its_version_is_open(script: Script, probe: ProbeStart) -> None:
    """Nothing depends on the version."""
    script.add(H100)
    script.fail("nvmlSystemGetDriverVersion", code=UNKNOWN)
    inventory = probe().open()
    assert (inventory["driver_version"], len(inventory["gpus"])) == ("", 1)


def test_mig_instances_are_listed_by_profile(script: Script, probe: ProbeStart) -> None:
    """Empty slots are left out; a card without MIG has none; naming anew sees what changed."""
    cut, whole = script.add(H100), script.add(L40S)
    cut.enable_mig("3g.40gb", "-", "1g.10gb", "1g.10gb+me")
    source = probe()
    gpus = source.open()["gpus"]
    assert [gpu["mig_profiles"] for gpu in gpus] == [["3g.40gb", "1g.10gb", "1g.10gb+me"], []]
    assert source.read(cut.uuid)["utilization_percent"] == "not_supported"
    cut.mig, cut.unsupported = False, cut.profile.unsupported
    script.settle()
    assert source.read(cut.uuid)["utilization_percent"] == "not_supported"  # asked once
    assert source("source.identify(0)")["mig_profiles"] == []
    assert source.read(cut.uuid)["utilization_percent"] == 0
    assert source.read(whole.uuid)["utilization_percent"] == 0


def test_the_census_changes_with_the_cards_alone(script: Script, probe: ProbeStart) -> None:
    """It is what tells that a card came or went, and a failed look is no change."""
    script.add(H100)
    late = script.add(H100)
    script.vanish(late)
    source = probe()
    source.open()
    before = source("source.census()")
    refused = script.fail("nvmlDeviceGetCount_v2", code=UNKNOWN)
    script.settle()
    assert source("source.census()") == before
    script.remove(refused)
    script.bring_back(late)
    script.settle()
    assert source("source.census()") != before
    script.fail("nvmlDeviceGetCount_v2", code=1)
    script.settle()
    assert source("source.census()")["error"] == "DriverError"


@pytest.mark.parametrize("code", [LOST, NO_PERMISSION, UNKNOWN])
def test_one_card_that_cannot_be_opened_does_not_hide_the_others(
    script: Script, probe: ProbeStart, code: int
) -> None:
    """The count includes cards that may not be opened; they are counted, the others listed."""
    cards = [script.add(H100) for _ in range(3)]
    script.fail("nvmlDeviceGetHandleByIndex_v2", card=cards[1], code=code)
    inventory = probe().open()
    assert [gpu["index"] for gpu in inventory["gpus"]] == [0, 2]
    assert inventory["unreadable"] == 1


def test_no_library_is_a_driver_that_does_not_answer(
    script: Script, probe: ProbeStart, tmp_path: Path
) -> None:
    """A machine without the library says so with the code, and no new process would help."""
    script.add(H100)
    (tmp_path / "empty").mkdir()
    answer = probe(LD_LIBRARY_PATH=str(tmp_path / "empty")).open()
    assert (answer["error"], answer["reason"], answer["code"], answer["restart"]) == (
        *("DriverError", "LIBRARY_NOT_FOUND", 12),
        False,
    )


def test_a_look_alike_module_is_refused(probe: ProbeStart, tmp_path: Path) -> None:
    """Another distribution's pynvml is named and told how to be rid of, before it is called."""
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow/pynvml.py").write_text(LOOK_ALIKE)
    answer = probe(PYTHONPATH=str(tmp_path / "shadow")).open()
    assert answer.get("error") == "DriverError", answer
    assert "uninstall the distribution 'pynvml'" in answer["reason"]


@pytest.mark.parametrize("code", [NO_DRIVER, MISMATCH, NO_PERMISSION, UNKNOWN])
def test_a_first_start_never_asks_for_a_new_process(
    script: Script, probe: ProbeStart, code: int
) -> None:
    """What a fresh process meets a fresh process would meet again: no restart loop."""
    script.add(H100)
    script.driver_fails(code)
    answer = probe().open()
    assert (answer["error"], answer["code"], answer["restart"]) == ("DriverError", code, False)


def test_a_mismatch_after_a_good_session_asks_for_a_new_process(
    script: Script, probe: ProbeStart
) -> None:
    """After an upgrade the library in this process is the old one for ever."""
    script.add(H100)
    source = probe()
    source.open()
    script.reload_driver(script.now(), upgraded=True)
    script.settle()
    assert source.open()["restart"] is True


@pytest.mark.parametrize("code", [NO_PERMISSION, UNKNOWN])
def test_a_late_driver_that_refuses_us_asks_for_a_new_process(
    script: Script, probe: ProbeStart, code: int
) -> None:
    """The unit's device classes were resolved when there was no driver yet."""
    script.add(H100)
    absent = script.driver_fails(NO_DRIVER)
    source = probe()
    assert source.open()["restart"] is False
    script.remove(*absent)
    script.driver_fails(code)
    script.settle()
    assert source.open()["restart"] is True


def test_a_late_driver_that_lets_us_in_is_read(script: Script, probe: ProbeStart) -> None:
    """No restart is needed for a driver that is loaded after the agent."""
    card = script.add(H100)
    absent = script.driver_fails(NO_DRIVER)
    source = probe()
    source.open()
    script.remove(*absent)
    script.settle()
    assert len(source.open()["gpus"]) == 1
    assert source.read(card.uuid)["power_mw"] == H100.idle_power_mw


def test_a_lost_card_says_lost_with_its_code(script: Script, probe: ProbeStart) -> None:
    """GPU_IS_LOST in a reading is the card's end, not one missing reading."""
    card = script.add(H100)
    source = probe()
    source.open()
    script.lose(card)
    script.settle()
    answer = source.read(card.uuid)
    assert (answer["error"], answer["lost"], answer["code"]) == ("GpuError", True, LOST)


def test_a_card_not_listed_is_lost(script: Script, probe: ProbeStart) -> None:
    """A UUID that the session does not have is not an exception of ours."""
    script.add(H100)
    source = probe()
    source.open()
    assert source.read("GPU-nowhere")["lost"] is True


def test_a_dead_session_is_the_drivers_error_and_heals_by_reopening(
    script: Script, probe: ProbeStart
) -> None:
    """UNINITIALIZED in a reading ends the session; the next one reads again."""
    card = script.add(H100)
    source = probe()
    source.open()
    script.reload_driver(script.now())
    script.settle()
    answer = source.read(card.uuid)
    assert (answer["error"], answer["code"]) == ("DriverError", 1)
    assert len(source.open()["gpus"]) == 1
    assert source.read(card.uuid)["power_mw"] == H100.idle_power_mw


def test_opening_again_does_not_pile_up_sessions(script: Script, probe: ProbeStart) -> None:
    """Each session that is begun is ended, so that a driver can be unloaded."""
    script.add(H100)
    source = probe()
    for _ in range(5):
        source.open()
    calls = source.calls()
    assert calls["nvmlInitWithFlags"] == 5
    assert source("source.close()") is None
    assert source("source.close()") is None
    assert source.calls()["nvmlShutdown"] >= 5
