"""The cost of the agent beside nvitop-exporter, over one scripted library with 8 H100s at 1 s.

Both run in the same run and one after the other, since the machines are noisy: read the ratios.
Not a test: nothing here passes or fails.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.acceptance.programs import Agent, fetch, free_port, wait_for
from tests.nvml.library import Script, build, environment
from tests.nvml.profiles import H100, MIB
from tests.nvml.timeline import Timeline

QUIET_SECONDS = 60
SCRAPED_SECONDS = 60
SCRAPE_EVERY = 15.0
"""The scrape interval for the CPU figure."""
LATENCY_SCRAPES = 100
LATENCY_EVERY = 0.25
PRICES = [{"id": "h100", "kind": "rented", "match": {"model": "*"}, "price_per_gpu_hour": 2.5}]


@dataclass
class Figures:
    """What was measured of one program."""

    name: str
    cpu_percent: float
    rss_mib: float
    series: int
    kilobytes: float
    p50_ms: float
    p99_ms: float
    tick_p50_ms: float | None
    tick_p99_ms: float | None


def main() -> None:
    """Measure both and print a table."""
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        variables = _library(base)
        ours = _gpufin(base, variables)
        theirs = _nvitop(base, variables)
    rows = [
        ("CPU, % of one core, scraped every 15 s", "cpu_percent", "0.7"),
        ("RSS, MiB", "rss_mib", "60"),
        ("series", "series", ""),
        ("page, KB", "kilobytes", "150"),
        ("/metrics p50, ms", "p50_ms", ""),
        ("/metrics p99, ms", "p99_ms", "6"),
        ("tick p50, ms", "tick_p50_ms", "2"),
        ("tick p99, ms", "tick_p99_ms", ""),
    ]
    print(
        f"{'8 H100, 20 processes, 1 s':42} {ours.name:>12} {theirs.name:>16} {'ratio':>7} {'bound':>6}"
    )
    for title, field, bound in rows:
        left, right = getattr(ours, field), getattr(theirs, field)
        ratio = f"{left / right:.2f}" if right else ""
        print(f"{title:42} {_shown(left):>12} {_shown(right):>16} {ratio:>7} {bound:>6}")


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _library(base: Path) -> dict[str, str]:
    script = Script(base / "cards.script")
    for number in range(8):
        card = script.add(H100, memory=20_000 * MIB, gpu_utilization=97 if number < 5 else 0)
        card.power = Timeline.of((0, 350_000), (1, 350_000, 650_000), period=2)
        for process in range(3 if number < 4 else 2):
            script.process(card, 100_000 + 10 * number + process, 900 * MIB)
    script.latency("nvmlDeviceGetPcieThroughput", ms=20)  # what the real call takes
    script.write()
    return environment(build(base / "library").parent, script.path)


def _gpufin(base: Path, variables: dict[str, str]) -> Figures:
    agent = Agent(base / "gpufin", {"prices": PRICES}, environment=variables)
    agent.start()
    assert agent.process is not None
    try:
        return _measure("gpufin", agent.process, agent.url(), _tick_ms)
    finally:
        agent.stop()


def _nvitop(base: Path, variables: dict[str, str]) -> Figures:
    port = free_port()
    program = Path(sys.executable).parent / "nvitop-exporter"
    arguments = ["--bind-address", "127.0.0.1", "--port", str(port), "--interval", "1"]
    with (base / "nvitop.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *arguments], env=os.environ | variables, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        wait_for("nvitop-exporter", lambda: fetch(url), 30)
        return _measure("nvitop 1.7.2", process, url, lambda _: None)
    finally:
        process.terminate()
        process.wait(10)


def _measure(
    name: str, process: subprocess.Popen[bytes], url: str, tick_ms: Callable[[str], float | None]
) -> Figures:
    watched = psutil.Process(process.pid)
    time.sleep(5)  # the first ticks fill caches
    begin, used = time.monotonic(), _cpu_seconds(watched)
    while time.monotonic() - begin < QUIET_SECONDS:
        time.sleep(SCRAPE_EVERY)
        _scrape(url)
    cpu_percent = 100 * (_cpu_seconds(watched) - used) / (time.monotonic() - begin)
    rss_mib = watched.memory_info().rss / 2**20
    latencies, ticks, page = [], [], ""
    for _ in range(LATENCY_SCRAPES):
        time.sleep(LATENCY_EVERY)
        milliseconds, page = _scrape(url)
        latencies.append(milliseconds)
        found = tick_ms(page)
        if found is not None:
            ticks.append(found)
    series = sum(1 for line in page.splitlines() if line and not line.startswith("#"))
    return Figures(
        name,
        cpu_percent,
        rss_mib,
        series,
        len(page) / 1_000,
        statistics.median(latencies),
        _p99(latencies),
        statistics.median(ticks) if ticks else None,
        _p99(ticks) if ticks else None,
    )


def _scrape(url: str) -> tuple[float, str]:
    begin = time.perf_counter()
    with urllib.request.urlopen(url, timeout=10) as answer:
        page = answer.read().decode()
    return 1_000 * (time.perf_counter() - begin), page


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]


def _tick_ms(page: str) -> float | None:
    found = re.search(r"^gpufin_tick_duration_seconds (\S+)$", page, re.MULTILINE)
    return None if found is None else 1_000 * float(found[1])


if __name__ == "__main__":
    main()
