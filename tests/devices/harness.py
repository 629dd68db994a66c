"""The real agent, or its NVML source alone, as processes over the scripted library.

`AgentProcess` runs `python -m agent run` as systemd would and reads what it exports; `Probe` runs
`NvmlSource` and evaluates expressions over it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.nvml.library import Script, environment, read_counters

PATIENCE_SECONDS = 45
"""Longer than the agent's own back-off: on a machine that stands still for a moment a read passes its
deadline of 0.2 s, and that card is read again only 30 s after."""

REPOSITORY = Path(__file__).parents[2]

CONFIG = """
currency: USD
timezone: UTC
listen: 127.0.0.1:{port}
state_directory: {state}
interval_seconds: {interval}
flush_seconds: {flush}
prices:
  - {{id: rented, kind: rented, price_per_gpu_hour: 3.60, match: {{model: "{models}"}}}}
"""

PROBE = """
import json, sys
from agent.devices.nvml.source import NvmlSource
from agent.errors import DriverError, GpuError
from agent.runtime.clock import SystemClock
import pynvml

source = NvmlSource(SystemClock())

def listing():
    # Open, and name every card that can be named.
    session, gpus = source.open(), []
    for index in range(session.count):
        try:
            gpus.append(source.identify(index))
        except GpuError:
            pass
    unreadable = session.count - len(gpus)
    version = session.driver_version
    return {"driver_version": version, "gpus": plain(gpus), "unreadable": unreadable}

def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value if isinstance(value, (int, float, str, dict, type(None))) else repr(value)

def attempt(call):
    try:
        return plain(call())
    except (DriverError, GpuError) as error:
        return {"error": type(error).__name__, **vars(error)}
    except BaseException as error:
        return {"unexpected": repr(error)}

for line in sys.stdin:
    print(json.dumps(attempt(lambda: eval(line))), flush=True)
"""


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait for something to hold; what it is goes into the failure."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as channel:
        channel.bind(("127.0.0.1", 0))
        return int(channel.getsockname()[1])


@dataclass(frozen=True)
class Page:
    """One scrape in the text format."""

    text: str

    @cached_property
    def samples(self) -> dict[str, list[tuple[Mapping[str, str], float]]]:
        found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    def all(self, name: str, **labels: str) -> list[tuple[Mapping[str, str], float]]:
        """Samples of a metric that carry these labels."""
        return [
            (found, value)
            for found, value in self.samples.get(name, [])
            if labels.items() <= found.items()
        ]

    def get(self, name: str, **labels: str) -> float | None:
        """The value of the one series, or None where there is none."""
        values = [value for _, value in self.all(name, **labels)]
        assert len(values) <= 1, f"{name}{labels} is not one series: {values}"
        return values[0] if values else None

    def value(self, name: str, **labels: str) -> float:
        """The value of the one series, which must be there."""
        value = self.get(name, **labels)
        assert value is not None, f"{name}{labels} is absent"
        return value

    def labels(self, name: str, **labels: str) -> Mapping[str, str]:
        """All labels of the one series."""
        ((found, _),) = self.all(name, **labels)
        return found

    def series_of(self, uuid: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        """Every series of a card."""
        return {
            (name, frozenset(labels.items()))
            for name, samples in self.samples.items()
            for labels, _ in samples
            if labels.get("uuid") == uuid
        }

    def missing(self, uuid: str) -> dict[str, str]:
        """Reading to reason, as ``gpufin_gpu_missing_readings_total`` tells of a card."""
        return {
            labels["reading"]: labels["reason"]
            for labels, value in self.all("gpufin_gpu_missing_readings_total", uuid=uuid)
            if value >= 1
        }


class AgentProcess:
    """`python -m agent run` in a directory of its own, with a port of its own."""

    def __init__(
        self,
        directory: Path,
        script: Script,
        library: Path,
        *,
        interval: float = 0.5,
        flush: float = 10,
        models: str = "*",
        port: int | None = None,
        state: Path | None = None,
        variables: Mapping[str, str] | None = None,
        config: str = CONFIG,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.state = state or directory / "state"
        self.script = script
        self.config = directory / "config.yaml"
        self.config.write_text(
            config.format(
                port=self.port, state=self.state, interval=interval, flush=flush, models=models
            )
        )
        script.write()
        self._log_path = directory / "log"
        self._log = self._log_path.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent", "run", "--config", str(self.config)],
            env={**os.environ, **environment(library.parent, script.path), **(variables or {})},
            cwd=REPOSITORY,
            stderr=self._log,
            stdout=self._log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()

    def get(self, path: str, accept: str = "") -> tuple[int, bytes, str]:
        """Status, body and content type."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Accept": accept} if accept else {}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read(), answer.headers["content-type"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), error.headers["content-type"]

    def answers(self, path: str = "/-/ready") -> bool:
        """True when the answer is 200; fails when the agent has ended."""
        assert self.process.poll() is None, f"the agent ended: {self.log()}"
        try:
            return self.get(path)[0] == 200
        except OSError:
            return False

    def ready(self) -> Self:
        """Wait for the first picture of settled cards."""
        wait_until(self.answers, 15, "ready")
        return self

    def page(self) -> Page:
        """Scrape."""
        status, body, _ = self.get("/metrics")
        assert status == 200, body
        return Page(body.decode())

    def eventually(
        self, holds: Callable[[Page], object], what: str, seconds: float = PATIENCE_SECONDS
    ) -> Page:
        """Scrape until something holds; the page that it holds for."""
        pages: list[Page] = []

        def look() -> bool:
            pages.append(self.page())
            return bool(holds(pages[-1]))

        try:
            wait_until(look, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the agent says:\n{self.log()}") from None
        return pages[-1]

    def log(self) -> str:
        return self._log_path.read_text()

    def ends(self, seconds: float = 10) -> int:
        """The exit code, which must come."""
        return self.process.wait(seconds)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """End it in order; the exit code."""
        self.process.send_signal(with_signal)
        return self.ends()


class Probe:
    """`NvmlSource` in a process of its own, told what to evaluate."""

    def __init__(
        self, script: Script, library: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        script.write()
        self._counters = script.counters
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROBE],
            env={**os.environ, **environment(library.parent, script.path), **(variables or {})},
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def __call__(self, expression: str) -> Any:
        """Evaluate; a DriverError or GpuError becomes a dict of what it says."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(expression + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def open(self) -> Any:
        """Open and name all cards: ``driver_version``, ``gpus``, and how many are ``unreadable``."""
        return self("listing()")

    def read(self, uuid: str) -> Any:
        return self(f"source.read({uuid!r})")

    def calls(self) -> dict[str, int]:
        """Calls so far by symbol."""
        assert self._counters is not None
        return read_counters(self._counters)
