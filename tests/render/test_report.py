"""A report in all its forms: numbers agree, and no name of a team breaks one."""

import csv
import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from agent.ledger.entry import EntryKey
from agent.render.report.document import document
from agent.render.report.page import html
from agent.render.report.text import as_json, comma_separated, markdown, plain
from agent.report.build import Report, coverage, parked
from agent.report.invoice import compare
from agent.report.period import period_before, period_of
from agent.report.tally import tally
from tests.builders import HOUR, UTC, a_key

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@sum(A1)",
    "-2",
    "a|b",
    "# head",
    "[x](javascript:alert(1))",
    "\x1b[2J\x07",
    'comma, "quote" and\nline',
    "",
]
NOVEMBER = 1_793_491_200  # 2026-11-01 00:00 UTC


def a_report(*names: str, before: str | None = None) -> Report:
    """A team for each name, an hour each; the first costs 1.000000001, the next twice that."""
    rows: list[tuple[str, EntryKey, tuple[int, int]]] = [
        (
            "ledger",
            a_key(hour=NOVEMBER + 86_400 * number, month="2026-11", team=name, state="held"),
            (1_000_000_001 * (number + 1), HOUR),
        )
        for number, name in enumerate(names)
    ]
    period = period_of("2026-11", UTC)
    (found,) = tally(rows, ("team",), UTC).values()
    earlier = [("ledger", replace_team(rows[0][1], before), (4 * 10**9, HOUR))] if before else []
    return Report(
        period=period,
        before=period_before(period, UTC),
        currency="USD",
        tally=found,
        earlier=next(iter(tally(earlier, ("team",), UTC).values()), None),
        coverage=coverage(found, period, now=period.end, known={}, retired={}),
        parked=parked(found),
        records={"rented": ['{"price_per_gpu_hour": "1"}']},
        reasons={},
    )


def replace_team(key: EntryKey, team: str) -> EntryKey:
    return key._replace(team=team)


def test_every_form_has_the_same_total() -> None:
    """Rounded for people, with nine decimals for programs."""
    report = a_report("a", "b")

    lines = list(csv.DictReader(io.StringIO(comma_separated([report]))))
    assert sum(Decimal(line["cost"]) for line in lines) == Decimal("3.000000003")
    found = json.loads(as_json([report]))["reports"][0]
    assert found["total"]["cost"] == "3.000000003"
    assert [group["names"]["team"] for group in found["groups"]] == ["b", "a"]
    for text in (
        plain(document(report)),
        markdown(document(report)),
        html([(report, document(report))], made=""),
    ):
        assert "3.00 USD" in text


def test_comparison_names_what_is_new_and_what_is_gone() -> None:
    """A team of the period before alone stands there with nothing."""
    report = a_report("a", before="b")

    rows = {names[0]: (group.money.cost, before) for names, group, before in report.rows}
    assert rows == {"a": (1_000_000_001, 0), "b": (0, 4 * 10**9)}
    assert "-4.00 (-100%)" in plain(document(report))


@pytest.mark.parametrize(
    ("how", "shares"),
    [("proportional", {"A": 256, "B": 128}), ("even", {"A": 242, "B": 142})],
)
def test_what_nobody_holds_is_shared_out_in_every_form(how: str, shares: dict[str, int]) -> None:
    """84 among A (200) and B (100): a table for people, a column of csv, a member of json."""
    base = a_key(hour=NOVEMBER, month="2026-11", state="idle")
    costs = {"A": 200, "B": 100, "unallocated": 84}
    rows = [("l", base._replace(team=name), (cost * 10**9, HOUR)) for name, cost in costs.items()]
    (found,) = tally(rows, ("team",), UTC).values()
    report = replace(a_report("A"), tally=found, sharing=how)

    for text in (
        plain(document(report)),
        markdown(document(report)),
        html([(report, document(report))], made=""),
    ):
        assert "By team, with what nobody holds shared out" in text
        for team, cost in shares.items():
            cells = [team, f"{costs[team]:.2f}", f"{cost - costs[team]:.2f}", f"{cost:.2f}"]
            pattern = r"[^\n]*".join(re.escape(cell) for cell in cells)
            assert re.search(pattern, re.sub(r">\s*<", "><", text))
    lines = csv.DictReader(io.StringIO(comma_separated([report])))
    column = {line["team"]: Decimal(line["cost_with_shared_out"]) for line in lines}
    assert column == {**shares, "unallocated": 0}
    shared = json.loads(as_json([report]))["reports"][0]["shared_out"]
    assert shared["how"] == how
    assert {team: Decimal(cost) for team, cost in shared["teams"].items()} == shares


def test_nothing_is_shared_out_unless_asked() -> None:
    """Forms are as they were."""
    report = a_report("a", "unallocated")

    assert "shared out" not in plain(document(report))
    assert "shared" not in comma_separated([report])
    assert json.loads(as_json([report]))["reports"][0]["shared_out"] is None


@pytest.mark.parametrize("name", HOSTILE)
def test_names_cannot_break_a_form(name: str) -> None:
    """No tag, no formula, no table cell, no control character comes out of a name."""
    report = a_report(name, "good")
    shown = document(report)

    page = Tags()
    page.feed(html([(report, shown)], made="now"))
    assert not page.found & {"script", "img", "a"}
    (bad, good) = sorted(
        csv.DictReader(io.StringIO(comma_separated([report]))), key=lambda row: Decimal(row["cost"])
    )
    assert good["team"] == "good"
    assert not bad["team"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert all(char.isprintable() or char == "\n" for char in plain(shown) + markdown(shown))
    table = next(part for part in markdown(shown).split("\n\n") if part.startswith("| team"))
    assert {line.replace("\\|", "").count("|") for line in table.splitlines()} == {7}
    assert "](" not in markdown(shown).replace("\\](", "").replace("\\]", "")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name not in {"src", "href"}, value


def test_a_period_without_rows_is_said() -> None:
    """And is no error."""
    assert "Nothing is booked for this period" in html([], made="now")
    assert comma_separated([]).startswith("period,currency,gpu_hours")
    assert json.loads(as_json([])) == {"reports": []}


def test_what_a_report_rests_on_is_told() -> None:
    """Records, unpriced and filled time, corrections with their reasons, carbon, an invoice."""
    base = a_key(hour=NOVEMBER, month="2026-11")
    energy = base._replace(component="energy", price_id="grid", method="counter")
    rows = {
        base: (10**9, HOUR),
        base._replace(filled=True): (2 * 10**9, 2 * HOUR),
        base._replace(correction=3): (5 * 10**9, 0),
        base._replace(component="unpriced", price_id=""): (0, 4 * HOUR),
        base._replace(exempt="standby", state="idle"): (10**9, HOUR),  # type: ignore[arg-type]  # a word of the enumeration
        energy: (168_000_000, 3_600_000_000),
        energy._replace(component="unpriced_energy", price_id=""): (0, 7_200_000_000),
        energy._replace(component="carbon"): (0, 517 * 10**9),
        energy._replace(component="carbon_unknown"): (0, 3_600_000_000),
    }
    report = a_report("a")
    (found,) = tally([("l", *row) for row in rows.items()], ("team",), UTC).values()
    report = replace(report, tally=found, reasons={3: "late contract"})

    text = plain(document(report, compare(report, 20 * 10**9)))

    for line in (
        "unpriced                             4.0 GPU-hours",
        "filled in after the agent was away        2.00 USD",
        "correction 3: late contract              +5.00 USD",
        "energy by counter",
        "energy without a tariff                  2.000 kWh",
        "carbon of energy                     0.517 kg CO2e",
        "energy of unknown carbon intensity, not counted",
        "exempt: standby",
        "grid          energy",
        "difference",
    ):
        assert " ".join(line.split()) in " ".join(text.split()), line
