"""The fleet file: budgets, alert windows and where messages go.

Read where rules are rendered, never by the agents.
Every default is here once; durations are Prometheus' own (``30m``, ``1h30m``).
"""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    StringConstraints,
    computed_field,
    model_validator,
)

from agent.config.durations import Duration, Window, just_under, milliseconds, seconds
from agent.config.keys import Float

_ALL_SPENT = 1.0
_NEARLY_SPENT = 0.8

Severity = Literal["critical", "warning", "info"]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain line breaks or control characters")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
"""One line that people read, or a label's value."""
Url = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9._~:/%@\[\]-]+$")]
"""An http or https address without query and fragment."""
FilePath = Annotated[
    str, StringConstraints(pattern=r"^/", max_length=1000), AfterValidator(_printable)
]
"""An absolute path."""
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""An ISO 4217 code."""
Share = Annotated[float, Field(gt=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Urls(_Section):
    """Addresses that messages link to."""

    grafana: Url = Field("http://localhost:3000", description="Grafana, without a path behind it.")
    runbook: Url = Field(
        "https://gpufin.example/docs/runbook.md",
        description="The runbook page; each alert is a heading in it.",
    )
    alertmanager: Url = Field(
        "http://localhost:9093", description="Alertmanager as people reach it, for silences."
    )
    prometheus: Url = Field("http://localhost:9090", description="Prometheus as people reach it.")


class Windows(_Section):
    """Windows of the recording rules."""

    rate: Window = Field(
        "5m",
        description="Window of rates, a duration; at least four times the scrape interval.",
    )
    carry: Window = Field(
        "30m",
        description="How long Prometheus may stand still before the money of nodes that are gone "
        "is forgotten, a duration.",
    )


class Forecast(_Section):
    """How the spend at the end of the month is estimated, and how fast a budget is used up."""

    window: Window = Field(
        "7d",
        description="The pattern of what follows use (energy, spot cards) over this duration repeats; "
        "whole weeks keep weekdays apart.",
    )
    resolution: Window = Field("1h", description="Step of that pattern, a duration.")
    minimum: Window = Field(
        "24h", description="No forecast before there are data this old, a duration."
    )
    burn_windows: tuple[Window, ...] = Field(
        ("1h", "6h", "3d"),
        description="Durations over which spend is compared with the budgeted rate.",
    )
    pace_window: Window = Field(
        "24h", description="When a budget is used up follows from the spend of this duration."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if milliseconds(self.window) % milliseconds(self.resolution):
            raise ValueError("window must be a multiple of resolution")
        return self

    @computed_field
    def window_seconds(self) -> int:
        """For rules, which have no arithmetic of durations."""
        return seconds(self.window)

    @computed_field
    def window_open(self) -> str:
        """The window, for ranges that must hold the same steps in every Prometheus."""
        return just_under(self.window)


class Threshold(_Section):
    """A share of a budget that is worth a message."""

    at: PositiveFloat = Field(le=10, description="Share of the budget: 0.5 is half, 1 all of it.")
    severity: Severity = Field(description="Severity of the message: critical, warning or info.")


def _threshold(given: object) -> object:
    """A bare number gets the severity that its height deserves."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return given
    severity = "critical" if given >= _ALL_SPENT else "warning"
    return {"at": given, "severity": "info" if given < _NEARLY_SPENT else severity}


class Scope(_Section):
    """What a budget covers; both keys must hold, and an empty scope is the fleet."""

    team: Text | None = Field(None, description="Only cards given to this team.")
    cluster: Text | None = Field(None, description="Only nodes of this cluster.")


class Budget(_Section):
    """Money that may be spent in a calendar month."""

    name: Text = Field(description="Name in messages and on boards; unique.")
    amount: Float = Field(gt=0, description="Amount for one calendar month, in the currency.")
    currency: Currency | None = Field(None, description="Default: the fleet's currency.")
    scope: Scope = Field(
        default=Scope.model_validate({}), description="What it covers; default: the fleet."
    )
    thresholds: tuple[Annotated[Threshold, BeforeValidator(_threshold)], ...] = Field(
        default=tuple(
            Threshold.model_validate(_threshold(at)) for at in (0.5, _NEARLY_SPENT, _ALL_SPENT)
        ),
        min_length=1,
        description="Shares of the amount that raise a message, rising: numbers or {at, severity}.",
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if any(low.at >= high.at for low, high in pairwise(self.thresholds)):
            raise ValueError("thresholds must rise")
        return self


class BudgetAlert(_Section):
    """When a reached threshold becomes a message."""

    pending: Duration = Field(
        "5m", alias="for", description="How long the spend must stay above, a duration."
    )
    keep_firing_for: Duration = Field(
        "15m", description="How long an alert outlives missing data, a duration."
    )
    band: NonNegativeFloat = Field(
        0.05,
        lt=1,
        description="A correction of the ledger that takes less than this share of the budget back "
        "does not end the alert.",
    )


class Idle(_Section):
    """When a card that is held and computes nothing becomes a message."""

    window: Window = Field("30m", description="The held share is measured over this duration.")
    pending: Duration = Field(
        "30m", alias="for", description="How long it must stay above, a duration."
    )
    keep_firing_for: Duration = Field(
        "15m", description="How long an alert outlives its condition, a duration."
    )
    enter: Share = Field(0.95, description="Share of the window, above which a card counts.")
    leave: Share = Field(0.8, description="Share of the window, below which an alert ends.")
    loss_window: Window = Field("24h", description="Money lost is summed over this duration.")
    severity: Severity = Field("warning", description="critical, warning or info.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.leave >= self.enter:
            raise ValueError("leave must be lower than enter, or the alert flaps")
        return self


class Slack(_Section):
    """Where messages go unless a route says otherwise."""

    channel: Text = Field("#gpu-cost", description="Channel.")
    api_url_file: FilePath = Field(
        "/etc/gpufin/slack-url",
        description="File with the webhook's address, which Alertmanager reads.",
    )
    username: Text = Field("gpufin", description="Name that messages are signed with.")


class Route(_Section):
    """Another channel for what concerns one team."""

    team: Text = Field(description="Team whose alerts go there.")
    channel: Text = Field(description="Channel.")
    api_url_file: FilePath | None = Field(
        None, description="Its own webhook file; default: the one under slack."
    )


class Notify(_Section):
    """Alertmanager's timings."""

    group_wait: Duration = Field("1m", description="Wait for companions of an alert, a duration.")
    group_interval: Window = Field("5m", description="Wait before telling of changes, a duration.")
    repeat_interval: Window = Field("12h", description="Wait before repeating, a duration.")


class Fleet(_Section):
    """The whole file."""

    currency: Currency = Field("USD", description="ISO 4217 code that boards and budgets use.")
    evaluation_interval: Window = Field("1m", description="How often rules run, a duration.")
    urls: Urls = Field(
        default=Urls.model_validate({}), description="Addresses that messages link to."
    )
    windows: Windows = Field(
        default=Windows.model_validate({}), description="Windows of recording rules."
    )
    forecast: Forecast = Field(
        default=Forecast.model_validate({}), description="Estimate of the month's end."
    )
    budgets: tuple[Budget, ...] = Field((), description="Budgets per calendar month.")
    budget_alert: BudgetAlert = Field(
        default=BudgetAlert.model_validate({}),
        description="When a reached threshold becomes a message.",
    )
    idle: Idle = Field(
        default=Idle.model_validate({}),
        description="When a held card that computes nothing becomes a message.",
    )
    slack: Slack = Field(default=Slack.model_validate({}), description="Where messages go.")
    routes: tuple[Route, ...] = Field((), description="Other channels, per team.")
    notify: Notify = Field(default=Notify.model_validate({}), description="Alertmanager's timings.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _unique("budgets", [budget.name for budget in self.budgets])
        _unique("routes", [route.team for route in self.routes])
        every = milliseconds(self.evaluation_interval)
        if milliseconds(self.windows.carry) < 2 * every:
            raise ValueError("windows.carry must be at least twice evaluation_interval")
        return self


def _unique(key: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{key}: named more than once: {', '.join(twice)}")
