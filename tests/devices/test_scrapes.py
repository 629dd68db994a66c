"""What a scrape costs the driver: nothing."""

import time
from collections.abc import Callable

from tests.devices.harness import AgentProcess, Page
from tests.nvml.library import Script, read_counters
from tests.nvml.profiles import H100

Start = Callable[..., AgentProcess]

CARDS, INTERVAL, SECONDS, SCRAPES = 3, 0.5, 3.0, 200
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def test_a_scrape_never_touches_the_driver(script: Script, start: Start) -> None:
    """The library is called for each tick the same, without scrapes and with 200 of them."""
    for _ in range(CARDS):
        script.add(H100, gpu_utilization=50)
    agent = start(script, interval=INTERVAL).ready()
    assert script.counters is not None

    def calls_over(scrapes: int) -> tuple[int, int]:
        """Calls of every symbol, and ticks, over some seconds that begin just after a tick."""
        ticks = agent.page().value("gpufin_ticks_total")
        begin = agent.eventually(lambda page: page.value("gpufin_ticks_total") > ticks, "a tick")
        before = sum(read_counters(script.counters).values()) if script.counters else 0
        until = time.monotonic() + SECONDS
        for number in range(scrapes):
            agent.get("/" if number % 10 == 0 else "/metrics", OPEN_METRICS if number % 3 else "")
        assert time.monotonic() < until, "scraping takes too long for this test"
        time.sleep(until - time.monotonic())
        after = sum(read_counters(script.counters).values()) if script.counters else 0
        end = agent.page()
        return after - before, round(
            end.value("gpufin_ticks_total") - begin.value("gpufin_ticks_total")
        )

    quiet, quiet_ticks = calls_over(0)
    busy, busy_ticks = calls_over(SCRAPES)
    per_tick = quiet / quiet_ticks
    assert per_tick >= 7 * CARDS
    assert abs(busy - per_tick * busy_ticks) <= per_tick
    assert busy_ticks >= SECONDS / INTERVAL - 1


def test_scrapes_within_one_tick_get_the_very_same_page(script: Script, start: Start) -> None:
    """A page is rendered once for a tick and format: byte for byte the same for every scraper."""
    script.add(H100)
    agent = start(script, interval=1).ready()
    for accept in ("", OPEN_METRICS):
        pages: dict[float, set[bytes]] = {}
        kinds = set()
        until = time.monotonic() + 2.2
        while time.monotonic() < until:
            status, body, content_type = agent.get("/metrics", accept)
            assert status == 200
            kinds.add(content_type.split(";")[0])
            text = body.decode().replace("# EOF", "")
            pages.setdefault(Page(text).value("gpufin_ticks_total"), set()).add(body)
            time.sleep(0.02)
        assert 2 <= len(pages) <= 4
        assert {len(bodies) for bodies in pages.values()} == {1}
        assert kinds == {"application/openmetrics-text" if accept else "text/plain"}
