"""The metrics page: formats, contract with the catalog, rendered once."""

import errno
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import NoReturn

import psutil
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from agent.catalog import BY_NAME, CATALOG, MAX_SERIES_PER_CARD, Kind
from agent.export.page import MetricsPage
from agent.view import View
from tests.unit.export.views import bare, card, counters_of, rich, view

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;"
    "escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
HOSTILE = 'a"b\\c\nd<script>alert(1)</script>{}='


def text(picture: View) -> str:
    return MetricsPage().render(picture, "")[0].decode()


def opened_families(page: str) -> list[Metric]:
    return list(parse_open_metrics(page))  # type: ignore[no-untyped-call]  # the library has no types here


def samples(families: Iterable[Metric]) -> list[tuple[str, tuple[tuple[str, str], ...], float]]:
    return sorted(
        (sample.name, tuple(sorted(sample.labels.items())), sample.value)
        for family in families
        for sample in family.samples
    )


def test_both_formats_say_the_same() -> None:
    """Text and OpenMetrics parse, and hold the same series with the same values."""
    page, picture = MetricsPage(), rich()
    plain, plain_type = page.render(picture, "")
    opened, open_type = page.render(picture, OPEN_METRICS)
    assert plain_type.startswith("text/plain; version=0.0.4")
    assert open_type.startswith("application/openmetrics-text; version=1.0.0")
    assert opened.decode().endswith("# EOF\n")

    def own(found: list[tuple[str, tuple[tuple[str, str], ...], float]]) -> object:
        return [one for one in found if not one[0].startswith("process_")]

    assert own(samples(parse_text(plain.decode()))) == own(
        samples(opened_families(opened.decode()))
    )


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/html,application/xhtml+xml", "text/plain"),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", "text/plain"),
        (OPEN_METRICS, "application/openmetrics-text"),
        (PROMETHEUS, "application/openmetrics-text"),
        ("application/openmetrics-text; version=nonsense", "application/openmetrics-text"),
        ("application/openmetrics-text; version=99", "application/openmetrics-text"),
        (",;=;,\x00", "text/plain"),
    ],
)
def test_the_format_follows_accept_and_nonsense_is_answered(accept: str, expected: str) -> None:
    """Every header gets a page in one of two formats."""
    body, content_type = MetricsPage().render(rich(), accept)
    assert content_type.split(";")[0] == expected
    parse = parse_text if expected == "text/plain" else opened_families
    assert list(parse(body.decode()))


def test_made_up_formats_are_not_kept() -> None:
    """A client cannot make the agent render and keep a page for each version it invents."""
    page, picture = MetricsPage(), rich()
    for number in range(50):
        page.render(picture, f"application/openmetrics-text; version=1.0.{number}")
        page.render(picture, f"text/plain; version=1.0.{number}")
    assert len(page._rendered) == 2


def test_a_page_is_rendered_once_for_a_view_and_format() -> None:
    """The second scraper gets the first one's bytes; a new view gets new ones."""
    page, picture = MetricsPage(), rich()
    first, _ = page.render(picture, "")
    time.sleep(0.02)  # the agent's own CPU time would differ
    assert page.render(picture, PROMETHEUS)[0] is page.render(picture, OPEN_METRICS)[0]
    assert page.render(picture, "")[0] is first
    assert page.render(replace(picture, pending_entries=4), "")[0] != first


def test_a_view_is_known_by_itself_not_by_what_it_says() -> None:
    """Comparing two pictures of many cards at each scrape would cost more than it saves."""
    page, picture = MetricsPage(), rich()
    first, _ = page.render(picture, "")
    assert page.render(replace(picture), "")[0] is not first


def test_a_process_without_a_free_descriptor_still_has_its_page() -> None:
    """What cannot be read of the process itself is missing, like any other reading."""

    class Exhausted(psutil.Process):
        def create_time(self) -> NoReturn:
            raise OSError(errno.EMFILE, "Too many open files")

        def num_fds(self) -> NoReturn:
            raise psutil.AccessDenied

    page = MetricsPage()
    page._process = Exhausted()
    names = {family.name for family in parse_text(page.render(rich(), "")[0].decode())}
    assert {"process_cpu_seconds", "process_resident_memory_bytes"} <= names
    assert not names & {"process_start_time_seconds", "process_open_fds"}
    assert "gpufin_gpu_state" in names


def test_promtool_has_nothing_to_say() -> None:
    """`promtool check metrics` accepts names, types and help texts in silence."""
    result = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text(rich()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_every_family_is_in_the_catalog_with_its_labels_help_and_type() -> None:
    """What is exported and what is documented are one thing, and everything documented exists."""
    seen = set()
    for family in parse_text(text(rich())):
        for sample in family.samples:
            metric = BY_NAME[sample.name]
            assert set(sample.labels) == set(metric.labels), sample.name
            assert family.documentation == metric.help
            assert family.type == ("counter" if metric.kind is Kind.COUNTER else "gauge")
            seen.add(sample.name)
    assert seen == {metric.name for metric in CATALOG}


def test_info_metrics_are_info_in_openmetrics() -> None:
    """The richer format carries the type the catalog names."""
    page, _ = MetricsPage().render(rich(), OPEN_METRICS)
    kinds = {family.name: family.type for family in opened_families(page.decode())}
    for metric in CATALOG:
        name = metric.name.removesuffix("_total").removesuffix("_info")
        assert kinds[name] == metric.kind.value, metric.name


def test_no_series_twice_and_no_negative_counter() -> None:
    """Prometheus drops a page with a duplicate, and takes a falling counter for a restart."""
    found = samples(parse_text(text(rich())))
    assert max(Counter((name, labels) for name, labels, _ in found).values()) == 1
    counters = {metric.name for metric in CATALOG if metric.kind is Kind.COUNTER}
    assert all(value >= 0 for name, _, value in found if name in counters)


def test_a_card_with_everything_stays_within_the_promise() -> None:
    """The most a card can have: every reading, state, component and anomaly."""
    found = samples(parse_text(text(view(card(0)))))
    of_card = [labels for _, labels, _ in found if ("uuid", "GPU-0") in labels]
    assert 25 <= len(of_card) <= MAX_SERIES_PER_CARD


def test_values_arrive_in_base_units() -> None:
    """Percent, milliwatts, nanoseconds, millijoules and nanos become ratio, watts and so on."""
    picture = rich()
    found = {
        (name, dict(labels).get("uuid"), dict(labels).get("state")): value
        for name, labels, value in samples(parse_text(text(picture)))
    }
    assert found["gpufin_gpu_utilization_ratio", "GPU-0", None] == 0.42
    assert found["gpufin_gpu_power_watts", "GPU-0", None] == 512.345
    assert found["gpufin_gpu_energy_joules_total", "GPU-0", None] == 1.5
    assert found["gpufin_gpu_state_seconds_total", "GPU-0", "held"] == 2
    assert found["gpufin_cost_total", "GPU-0", "held"] == 1.23456789
    assert found["gpufin_gpu_idle_since_timestamp_seconds", "GPU-0", None] == 1_792_223_910
    assert found["gpufin_filled_seconds", "GPU-0", None] == 5


def test_a_card_without_readings_is_absent_and_named() -> None:
    """Eight missing readings are eight reasons and no value."""
    found = samples(parse_text(text(view(bare(0)))))
    names = {name for name, _, _ in found}
    reasons = [
        dict(labels) for name, labels, _ in found if name == "gpufin_gpu_missing_readings_total"
    ]
    assert {reason["reading"]: reason["reason"] for reason in reasons} == {
        **dict.fromkeys(
            ("utilization", "memory_used", "memory_total", "power", "power_limit", "energy"),
            "no_data",
        ),
        "temperature": "no_data",
        "processes": "not_supported",
    }
    assert "gpufin_gpu_power_watts" not in names
    assert "gpufin_gpu_processes" not in names
    assert "gpufin_cost_rate_per_hour" not in names


def test_a_node_without_cards_and_driver_still_has_a_page() -> None:
    """The page says that the driver is away and why."""
    found = samples(parse_text(text(view(driver_up=False))))
    assert ("gpufin_driver_up", (), 0.0) in found
    facts = next(dict(labels) for name, labels, _ in found if name == "gpufin_driver_info")
    assert facts == {"driver_version": "", "reason": "DRIVER_NOT_LOADED", "code": "9"}


def test_hostile_names_are_escaped_and_come_back_whole() -> None:
    """Quotes, backslashes, line ends and tags in names of models and teams break no format."""
    odd = card(0, team=HOSTILE, model=HOSTILE)
    picture = replace(view(odd), counters=counters_of(odd))
    for accept, parse in (("", parse_text), (OPEN_METRICS, opened_families)):
        body, _ = MetricsPage().render(picture, accept)
        found = samples(parse(body.decode()))
        teams = {dict(labels).get("team") for _, labels, _ in found} - {None}
        assert teams == {HOSTILE}
