"""A report as one HTML file: no script, nothing to fetch; it prints, and fits a phone."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader

from agent.render.report.document import Document
from agent.render.report.table import NO_VALUE, money
from agent.report.build import Report
from agent.usage.state import CardState

HEIGHT, BAR, GAP = 120.0, 14.0, 4.0
"""Units of the drawing; a viewBox scales them to the page."""
STATES = (
    CardState.ACTIVE,
    CardState.HELD,
    CardState.IDLE,
    CardState.UNKNOWN,
    CardState.DOWN,
)
MAX_BARS = 12


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of a bar of the chart by day."""

    x: float
    y: float
    height: float
    state: str
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Cost by local day and state."""

    width: float
    boxes: Sequence[Box]
    labels: Sequence[tuple[float, str]]
    top: str
    states: Sequence[str]


def html(pages: Sequence[tuple[Report, Document]], *, made: str) -> str:
    """The page; ``made`` says when and by what."""
    environment = Environment(
        loader=PackageLoader("agent.render", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [
        {"document": document, "chart": _chart(report), "bars": _bars(report)}
        for report, document in pages
    ]
    return environment.get_template("report.html").render(sections=sections, made=made)


def _chart(report: Report) -> Chart | None:
    days = sorted(report.tally.days.items())
    top = max((sum(max(0, nanos) for nanos in states.values()) for _, states in days), default=0)
    if len(days) < 2 or top <= 0:  # noqa: PLR2004 - one bar is no chart
        return None
    boxes, labels = [], []
    for number, (day, states) in enumerate(days):
        x, y = number * (BAR + GAP), HEIGHT
        for state in STATES:
            height = max(0, states.get(state, 0)) / top * HEIGHT
            if height > 0:
                y -= height
                title = f"{day} {state}: {money(states[state])} {report.currency}"
                boxes.append(Box(x, y, height, str(state), title))
        if number % max(1, len(days) // 6) == 0:
            labels.append((x + BAR / 2, f"{day.day}.{day.month}."))
    shown = [str(state) for state in STATES if any(box.state == state for box in boxes)]
    return Chart(len(days) * (BAR + GAP), boxes, labels, money(top), shown)


def _bars(report: Report) -> list[dict[str, object]]:
    """The dearest groups as bars, the idle part apart, in per cent of the dearest."""
    rows = [row for row in report.rows if row[1].money.cost > 0][:MAX_BARS]
    most = max((group.money.cost for _, group, _ in rows), default=0)
    return [
        {
            "name": " · ".join(name or NO_VALUE for name in names),
            "work": (group.money.cost - group.money.idle) / most * 100,
            "idle": group.money.idle / most * 100,
            "cost": money(group.money.cost),
        }
        for names, group, _ in rows
    ]
