"""What gpufin.service promises, in a real systemd."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.nvml.library import Script
from tests.systemd.lab import Lab
from tests.systemd.service import Service, until

UNIT = "/etc/systemd/system/gpufin.service"
DRIVER_NOT_LOADED = 9
NO_PERMISSION = 4
DYNAMIC_USERS = range(61184, 65520)


@pytest.fixture
def quick_watchdog(service: Service) -> Iterator[Service]:
    service.drop_in("watchdog", "[Service]\nWatchdogSec=3s\n")
    yield service
    service.drop_in("watchdog", "")


def probed(service: Service, path: str) -> str:
    answers = json.loads(service.lab.out("cat", "/var/lib/gpufin/probe.json"))
    return str(answers[path])


def test_systemd_finds_nothing_to_remark(lab: Lab) -> None:
    """systemd-analyze exits 0 on unknown keys and bad values: it has to be silent as well."""
    done = lab.run("systemd-analyze", "verify", "--man=no", UNIT)
    assert done.stdout + done.stderr == ""


def test_exposure_is_at_most_2(lab: Lab) -> None:
    lab.run("systemd-analyze", "security", "--offline=yes", "--threshold=20", UNIT)


def test_start_returns_when_metrics_are_there(service: Service) -> None:
    """No polling: the first scrape after ``systemctl start`` sees both cards."""
    service.systemctl("restart")
    assert service.show("ActiveState") == "active"
    assert list(service.values("gpufin_gpu_up").values()) == [1, 1]


def test_start_waits_for_the_agent(service: Service) -> None:
    """A unit that is active as soon as its program is executed would have the same time twice."""
    started = int(service.show("ExecMainStartTimestampMonotonic"))
    active = int(service.show("ActiveEnterTimestampMonotonic"))
    assert active - started > 100_000  # microseconds; Python alone needs as long


def test_status_tells_what_the_agent_does(service: Service) -> None:
    assert service.show("StatusText")


def test_cards_are_read_from_the_driver(service: Service) -> None:
    labels = ",".join(service.values("gpufin_gpu_info"))
    assert labels.count("source=nvml") == 2


def test_agent_has_no_rights(service: Service) -> None:
    status = service.lab.out("cat", f"/proc/{service.show('MainPID')}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(uid) in DYNAMIC_USERS for uid in fields["Uid"].split()} == {True}
    assert fields["CapBnd"] == "0000000000000000"
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"


@pytest.mark.parametrize("node", ["/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia1"])
def test_sandbox_lets_the_cards_through(service: Service, node: str) -> None:
    """The nodes have no driver: one that may be opened says ENXIO, one that may not EPERM."""
    assert probed(service, node) == "ENXIO"


def test_sandbox_keeps_other_devices_away(service: Service) -> None:
    assert probed(service, "/dev/other") == "EPERM"


def test_sandbox_lets_the_configuration_through(service: Service) -> None:
    assert probed(service, "/etc/gpufin/config.yaml") == "ok"


@pytest.mark.parametrize("path", ["/etc/new", "/opt/gpufin/new", "/var/lib/new"])
def test_sandbox_keeps_the_system_as_it_is(service: Service, path: str) -> None:
    assert probed(service, path) == "EROFS"


def test_sandbox_hides_home_directories(service: Service) -> None:
    assert probed(service, "/home/someone/readable") == "EACCES"


def test_sandbox_has_a_tmp_of_its_own(service: Service) -> None:
    assert probed(service, "/tmp/gpufin-new") == "ok"
    assert service.lab.run("test", "-e", "/tmp/gpufin-new", check=False).returncode == 1


def test_sandbox_lets_the_agent_ask_about_the_clock(service: Service) -> None:
    """Is it in step? Unknown would mean that time away is not booked after a reboot."""
    assert int(probed(service, "clock")) >= 0


def test_state_is_in_var_lib(service: Service) -> None:
    mode, *files = service.lab.out(
        "bash", "-c", "stat -c %a /var/lib/gpufin/ && ls /var/lib/gpufin"
    ).split()
    assert mode == "750"
    assert "ledger.sqlite" in files


def test_killed_agent_comes_back_with_its_ledger(service: Service) -> None:
    """Month to date never falls; counters start at 0 and do not repeat what was told before."""
    service.until_flushed()  # a kill takes what was not: here that could be all there is
    cost, month = service.total("gpufin_cost_total"), service.total("gpufin_month_cost")
    assert cost > 0
    pid = service.show("MainPID")
    service.kill("KILL")
    until(lambda: service.active_again(pid), 20, "restarted after kill -9")
    assert service.total("gpufin_cost_total") < cost
    assert service.total("gpufin_month_cost") >= month


def test_watchdog_ends_an_agent_that_stands_still(quick_watchdog: Service) -> None:
    service = quick_watchdog
    pid = service.show("MainPID")
    service.kill("STOP")
    until(lambda: service.active_again(pid), 30, "restarted by the watchdog")
    journal = service.journal()
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal  # and with it the stack of every thread


def test_watchdog_is_fed(quick_watchdog: Service) -> None:
    pid = quick_watchdog.show("MainPID")
    time.sleep(4)
    assert quick_watchdog.show("MainPID") == pid


def test_stop_is_quick_and_orderly(service: Service) -> None:
    since = time.monotonic()
    service.systemctl("stop")
    assert time.monotonic() - since < 5
    assert service.show("Result") == "success"
    assert service.show("ExecMainStatus") == "0"


def test_stop_loses_no_money(service: Service) -> None:
    """All that was told of a process's life is in the ledger when it has stopped."""
    service.systemctl("stop")
    before = service.booked_nanos()
    service.systemctl("start")
    until(lambda: service.total("gpufin_ticks_total") >= 2, 15, "two ticks")
    told = service.total("gpufin_cost_total")
    service.systemctl("stop")
    assert service.booked_nanos() - before >= round(told * 1e9) > 0


@pytest.fixture
def no_driver_yet(service: Service, script: Script) -> Iterator[Service]:
    """The agent started when neither the driver nor its device groups were there."""
    absent = script.driver_fails(DRIVER_NOT_LOADED)
    script.write()
    service.lab.run("umount", "/proc/devices")
    service.systemctl("restart")
    service.lab.run("mount", "--bind", "/run/devices", "/proc/devices")
    script.remove(*absent)
    yield service
    script.write()
    service.systemctl("restart")


def test_no_driver_is_ready_all_the_same(no_driver_yet: Service) -> None:
    assert no_driver_yet.values("gpufin_driver_up") == {"": 0}


def test_late_driver_is_reached_through_a_new_process(
    no_driver_yet: Service, script: Script
) -> None:
    """The sandbox of the old one does not know the driver's devices: the agent ends with 75."""
    service = no_driver_yet
    assert probed(service, "/dev/nvidia0") == "EPERM"
    pid = service.show("MainPID")
    refused = script.driver_fails(NO_PERMISSION)
    script.write()
    until(lambda: service.show("ExecMainStatus") == "75", 30, "ended with status 75")
    script.remove(*refused)
    script.write()
    until(lambda: service.active_again(pid), 20, "restarted after status 75")
    assert probed(service, "/dev/nvidia0") == "ENXIO"
    assert list(service.values("gpufin_gpu_up").values()) == [1, 1]


def test_reload_keeps_the_process_and_refuses_a_faulty_file(service: Service) -> None:
    """A reload reads the file; a faulty one is told by a metric, and nothing restarts."""
    pid = service.show("MainPID")
    service.lab.run("cp", "/etc/gpufin/config.yaml", "/etc/gpufin/good")
    service.lab.write("/etc/gpufin/config.yaml", "no_such_key: 1\n")
    name = "gpufin_config_last_reload_successful"
    try:
        service.systemctl("reload")
        until(lambda: service.total(name) == 0, 5, "the fault is told")
    finally:
        service.lab.run("mv", "/etc/gpufin/good", "/etc/gpufin/config.yaml")
    service.systemctl("reload")
    until(lambda: service.total(name) == 1, 5, "the good file is in force")
    assert service.show("MainPID") == pid


def test_bad_configuration_is_not_tried_again(service: Service) -> None:
    service.systemctl("stop")
    service.lab.run("mv", "/etc/gpufin/config.yaml", "/etc/gpufin/good")
    service.lab.write("/etc/gpufin/config.yaml", "no_such_key: 1\n")
    try:
        start = service.lab.run("systemctl", "start", "gpufin", check=False)
        assert start.returncode
        assert service.show("ActiveState") == "failed"
        assert service.show("ExecMainStatus") == "2"
    finally:
        service.lab.run("mv", "/etc/gpufin/good", "/etc/gpufin/config.yaml")
