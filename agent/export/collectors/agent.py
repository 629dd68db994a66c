"""How the agent itself is doing: driver, collectors, ticks, ledger, CPU and memory."""

import platform
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
from prometheus_client.core import Metric

import agent
from agent.export.collectors.cards import labels_of
from agent.export.families import Samples, family, info, single
from agent.samples.device import answers
from agent.units import seconds
from agent.view import View

COUNTERS = (
    "gpufin_ticks_total",
    "gpufin_ticks_late_total",
    "gpufin_readers_abandoned_total",
    "gpufin_clock_steps_total",
)


def collect(view: View) -> Iterator[Metric]:
    """All families of this question."""
    present = sum(answers(card.report) for card in view.cards)
    yield from single("gpufin_gpus_expected", len(view.cards))
    yield from single("gpufin_gpus_present", present)
    yield from single("gpufin_driver_up", float(view.driver_up))
    code = "" if view.driver_code is None else str(view.driver_code)
    yield from info("gpufin_driver_info", [(view.driver_version, view.driver_reason, code)])
    for name in COUNTERS:
        yield from family(name, view.counters.get(name, {}).items())
    yield from single("gpufin_tick_duration_seconds", view.tick_seconds)
    yield from single("gpufin_ledger_pending_entries", view.pending_entries)
    yield from family("gpufin_filled_seconds", _filled(view))
    yield from _collectors(view)
    yield from single("gpufin_config_last_reload_successful", float(view.config.successful))
    yield from single(
        "gpufin_config_last_reload_success_timestamp_seconds", seconds(view.config.read_at_wall_ns)
    )
    yield from info("gpufin_build_info", [(agent.__version__, platform.python_version())])


def _filled(view: View) -> Samples:
    for card in view.cards:
        if card.filled_ns is not None:
            yield labels_of(card), seconds(card.filled_ns)


def _collectors(view: View) -> Iterator[Metric]:
    health = view.collectors.items()
    yield from family(
        "gpufin_collector_success", (((name,), float(run.success)) for name, run in health)
    )
    yield from family(
        "gpufin_collector_duration_seconds",
        (((name,), run.duration_seconds) for name, run in health),
    )
    yield from family(
        "gpufin_collector_last_success_timestamp_seconds",
        (
            ((name,), seconds(run.last_success_wall_ns))
            for name, run in health
            if run.last_success_wall_ns is not None
        ),
    )


def collect_process(process: psutil.Process) -> Iterator[Metric]:
    """CPU and memory of this process, read when a page is made."""
    with process.oneshot():
        for name, read in _PROCESS:
            # Reading /proc takes a file descriptor, and there may be none: then these are missing.
            with suppress(OSError, psutil.Error):
                yield from single(name, read(process))


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


_PROCESS: tuple[tuple[str, Callable[[psutil.Process], float]], ...] = (
    ("process_cpu_seconds_total", _cpu_seconds),
    ("process_resident_memory_bytes", lambda process: process.memory_info().rss),
    ("process_start_time_seconds", lambda process: process.create_time()),
    ("process_open_fds", lambda process: process.num_fds()),
)
