"""gpufin.service in the lab, as systemd and Prometheus see it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tests.systemd.lab import Lab

FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"
BOOKED = """
import sqlite3
ledger = sqlite3.connect("file:/var/lib/gpufin/ledger.sqlite?immutable=1", uri=True)
print(ledger.execute("SELECT coalesce(sum(nanos), 0) FROM entry WHERE NOT filled").fetchone()[0])
"""
METRICS = "http://127.0.0.1:9776/metrics"


@dataclass(frozen=True)
class Service:
    lab: Lab

    def systemctl(self, verb: str) -> None:
        """Have systemd do something with the unit; a failure shows what the agent said."""
        done = self.lab.run("systemctl", verb, "gpufin", check=False)
        assert done.returncode == 0, f"{verb}: {done.stderr}{self.journal()[-2000:]}"

    def show(self, name: str) -> str:
        """One property of the unit, as systemd tells it."""
        return self.lab.out("systemctl", "show", "--value", f"--property={name}", "gpufin")

    def values(self, name: str) -> dict[str, float]:
        """What one scrape says of a metric: all of its samples, the labels as text for a key."""
        page = self.lab.out("python3", "-c", FETCH, METRICS)
        return {
            ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == name
        }

    def total(self, name: str) -> float:
        return sum(self.values(name).values())

    def until_flushed(self) -> None:
        """Wait until this process has written the ledger, which it does every ten seconds."""
        name, ledger = "gpufin_collector_last_success_timestamp_seconds", "collector=ledger"
        until(lambda: ledger in self.values(name), 30, "a first flush")

    def booked_nanos(self) -> int:
        """What the ledger of a stopped agent holds of times when it was there, in 1e-9 of money.

        Only what an orderly end leaves is read: a write-ahead log that is still there is not.
        """
        return int(self.lab.out("python3", "-c", BOOKED))

    def journal(self) -> str:
        return self.lab.out("journalctl", "--unit=gpufin", "--output=cat")

    def drop_in(self, name: str, text: str) -> None:
        """Change the unit (``text`` empty: no longer), and restart it."""
        self.lab.write(f"/etc/systemd/system/gpufin.service.d/{name}.conf", text)
        self.lab.run("systemctl", "daemon-reload")
        self.systemctl("restart")

    def kill(self, signal: str) -> None:
        """Send the agent a signal; systemd takes no part but for delivering it."""
        self.lab.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", "gpufin")

    def active_again(self, former_pid: str) -> bool:
        return (
            self.show("MainPID") not in {former_pid, "0"} and self.show("ActiveState") == "active"
        )


def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
