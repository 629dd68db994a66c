"""``gpufin report`` and ``gpufin explain``: what a period cost, and the rows behind a number."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import click

import agent
from agent.cli.budgets import DEFAULT_FLEET, fleet_of, outlook
from agent.cli.serve import DEFAULT_CONFIG
from agent.config.decode import load_settings
from agent.ledger.entry import QUANTITY_UNITS, EntryKey
from agent.ledger.period import HOUR_NS, HOUR_SECONDS
from agent.money import units
from agent.render.report.document import document
from agent.render.report.page import html
from agent.render.report.text import as_json, comma_separated, markdown, plain
from agent.report.build import Report, coverages, parked
from agent.report.invoice import Comparison, compare, nanos_of
from agent.report.period import Period, local_day, period_before, period_of
from agent.report.tally import DIMENSIONS, Names, Rows, Tally, tally
from agent.runtime.clock import SystemClock
from agent.storage.reading import LedgerReader, Selection, read_ledgers
from agent.units import MILLIJOULES_PER_KILOWATT_HOUR, NANOSECONDS_PER_SECOND

MAX_ROWS = 40

_config = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help=f"For the zone and the state directory; default: {DEFAULT_CONFIG} if it is there.",
)
_ledger = click.option(
    "--ledger",
    "ledgers",
    type=click.Path(path_type=Path),
    multiple=True,
    help="State directory, ledger file or backup; several are summed.",
)
_zone = click.option("--timezone", "zone_name", help="Zone of the days; default: the file's.")
_period = click.option(
    "--period",
    "period_text",
    help="2026-11, 2026-Q4, 2026-11-20 or 2026-11-01..2026-11-15; default: this month.",
)


@click.command()
@_config
@_ledger
@_zone
@_period
@click.option("--by", default="team,model", show_default=True, help=f"Of {', '.join(DIMENSIONS)}.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "html", "md"]),
    default="table",
    show_default=True,
)
@click.option(
    "--fleet",
    "fleet_path",
    type=click.Path(path_type=Path),
    help=f"The fleet file, for its budgets; default: {DEFAULT_FLEET} if it is there.",
)
@click.option("--cluster", help="Name of the cluster that the ledgers are of, for its budgets.")
@click.option("--invoice", help="Total of a provider's invoice, to compare with: 12345.67")
@click.option(
    "--share-unallocated",
    "sharing",
    type=click.Choice(["even", "proportional"]),
    help="Also say what teams cost with what nobody holds shared out among them.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Write there; default: print.")
def report(  # noqa: PLR0913 - one a command line option
    *,
    config_path: Path | None,
    ledgers: Sequence[Path],
    zone_name: str | None,
    period_text: str | None,
    by: str,
    form: str,
    fleet_path: Path | None,
    cluster: str | None,
    invoice: str | None,
    sharing: str | None,
    output: Path | None,
) -> int:
    """Say what a period cost, by team, model or more, and what each number rests on."""
    zone, places, retired = _where(config_path, ledgers, zone_name)
    now = SystemClock().now().wall_ns // NANOSECONDS_PER_SECOND
    period = _chosen(period_text, zone, now)
    fleet = fleet_of(fleet_path, period)
    names = _names(by)
    if sharing is not None and "team" not in names:
        raise click.UsageError("--share-unallocated shares among teams: --by must name team")
    with read_ledgers(places) as reader:
        ahead = outlook(
            reader, period, lambda: _rows(reader, period, zone), fleet, now=now, cluster=cluster
        )
        made = _reports(reader, period, names, zone, (now, retired))
        if "day" in names or not period.months:
            _say_days(reader, period, zone)
    made = [replace(each, outlook=ahead, sharing=sharing) for each in made]
    compared = _compared(made, invoice)
    text = _shown(made, form, compared, datetime.fromtimestamp(now, zone))
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"wrote {output}", err=True)
    return 0


def _reports(
    reader: LedgerReader,
    period: Period,
    by: Names,
    zone: ZoneInfo,
    at: tuple[int, frozenset[str]],
) -> list[Report]:
    """A report for each currency; ``at`` is now, and the cards that the configuration retires."""
    before = period_before(period, zone)
    found = tally(_rows(reader, period, zone), by, zone)
    earlier = tally(_rows(reader, before, zone), by, zone)
    records, reasons = reader.records(), reader.reasons()
    (now, gone), cards = at, reader.cards()
    left = {uuid: cards[uuid].last_hour + HOUR_SECONDS for uuid in gone & cards.keys()}
    retired = left | reader.retired()
    covered = coverages(found, period, now=now, known=cards, retired=retired)
    for currency in covered.keys() - found.keys():  # cards that were expected, and nothing booked
        found[currency] = Tally(by)
    return [
        Report(
            period=period,
            before=before,
            currency=currency,
            tally=each,
            earlier=earlier.get(currency),
            coverage=covered[currency],
            parked=parked(each),
            records=records,
            reasons=reasons,
        )
        for currency, each in sorted(found.items())
    ]


def _rows(reader: LedgerReader, period: Period, zone: ZoneInfo) -> Rows:
    rows = reader.rows(Selection(period.start, period.end, period.months))
    if period.months:
        return rows
    # Where midnight lies inside a UTC hour, the hour belongs to the day it begins in.
    return (row for row in rows if period.first <= local_day(row[1].hour, zone) < period.last)


def _say_days(reader: LedgerReader, period: Period, zone: ZoneInfo) -> None:
    """Warn where rows stand for the days of another zone; whole months are exact all the same."""
    for until, days in reader.days():
        if days.key != zone.key and period.start < until:
            click.echo(
                f"before {local_day(until, days)} rows stand for days of {days.key}, not of {zone.key}: "
                f"give --timezone {days.key} for days that are right",
                err=True,
            )


def _shown(made: list[Report], form: str, compared: Comparison | None, now: datetime) -> str:
    if form == "csv":
        return comma_separated(made)
    if form == "json":
        return as_json(made, compared)
    documents = [(each, document(each, compared)) for each in made]
    if form == "html":
        moment = now.isoformat(" ", "minutes")
        return html(documents, made=f"Made {moment} by gpufin {agent.__version__} from its ledger.")
    write = markdown if form == "md" else plain
    return "\n".join(write(each) for _, each in documents) or "nothing is booked for this period\n"


def _compared(made: list[Report], invoice: str | None) -> Comparison | None:
    if invoice is None:
        return None
    if len(made) != 1:
        raise click.UsageError("an invoice is compared with one currency: give the ledgers of one")
    try:
        return compare(made[0], nanos_of(invoice))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@click.command()
@_config
@_ledger
@_zone
@_period
@click.option("--team")
@click.option("--model")
@click.option("--card", help="UUID.")
@click.option("--state")
@click.option("--component")
@click.option("--price", help="Price id.")
@click.option("--all", "everything", is_flag=True, help=f"More than the first {MAX_ROWS} rows.")
def explain(
    *,
    config_path: Path | None,
    ledgers: Sequence[Path],
    zone_name: str | None,
    period_text: str | None,
    everything: bool,
    **wanted: str | None,
) -> int:
    """Trace a number to the ledger rows it is the sum of."""
    zone, places, _ = _where(config_path, ledgers, zone_name)
    now = SystemClock().now().wall_ns // NANOSECONDS_PER_SECOND
    period = _chosen(period_text, zone, now)
    fields = {"card": "uuid", "price": "price_id"}
    filters = {fields.get(name, name): value for name, value in wanted.items() if value is not None}
    with read_ledgers(places) as reader:
        rows = [
            row
            for row in _rows(reader, period, zone)
            if all(getattr(row[1], name) == value for name, value in filters.items())
        ]
        if not period.months:
            _say_days(reader, period, zone)
        reasons = reader.reasons()
    shown = sorted(rows, key=lambda row: (row[1].hour, *map(str, row[1][1:])))
    for currency in sorted({key.currency for _, key, _ in rows}):
        nanos = sum(amounts[0] for _, key, amounts in rows if key.currency == currency)
        click.echo(f"{period.label}: {units(nanos):,.9f} {currency} in {len(rows)} rows")
    for line in islice(_lines(shown, zone, reasons), None if everything else MAX_ROWS):
        click.echo(f"  {line}")
    if len(shown) > MAX_ROWS and not everything:
        click.echo(f"  and {len(shown) - MAX_ROWS} rows more: --all")
    return 0 if rows else 1


def _lines(
    rows: list[tuple[str, EntryKey, tuple[int, int]]], zone: ZoneInfo, reasons: dict[int, str]
) -> Iterator[str]:
    for _, key, (nanos, quantity) in rows:
        local = datetime.fromtimestamp(key.hour, zone).strftime("%Y-%m-%d %H:%M%z")
        unit = QUANTITY_UNITS[key.component]
        if unit == "ns":
            amount = f"{quantity / HOUR_NS:.6f} h"
        elif unit == "mJ":
            amount = f"{quantity / MILLIJOULES_PER_KILOWATT_HOUR:.6f} kWh"
        else:
            amount = f"{quantity / 1e9:.3f} g"
        marks = [f"by {key.method}"] if key.method != "time" else []
        marks += ["filled"] if key.filled else []
        marks += [f"exempt: {key.exempt}"] if key.exempt else []
        if key.correction:
            marks.append(f"correction {key.correction}: {reasons.get(key.correction, '')}")
        yield (
            f"{local}  {key.uuid}  {key.team}  {key.state}  {key.component}  "
            f"{key.price_id or '-'}  {amount}  {units(nanos):.9f}  {', '.join(marks)}"
        ).rstrip()


def _where(
    config_path: Path | None, ledgers: Sequence[Path], zone_name: str | None
) -> tuple[ZoneInfo, Sequence[Path], frozenset[str]]:
    """The zone of the days, the ledgers, and the cards that the configuration retires."""
    path = config_path or Path(DEFAULT_CONFIG)
    settings = load_settings(path) if config_path is not None or path.exists() else None
    places = ledgers or ([settings.state_directory] if settings is not None else [])
    if not places:
        raise click.UsageError("give --ledger or --config: there is no ledger to read")
    retired = frozenset() if settings is None else settings.policy.retired
    if zone_name is None:
        return ZoneInfo("UTC") if settings is None else settings.policy.zone, places, retired
    try:
        return ZoneInfo(zone_name), places, retired
    except (KeyError, ValueError, OSError):
        raise click.UsageError(f"{zone_name!r} is not an IANA time zone") from None


def _chosen(text: str | None, zone: ZoneInfo, now: int) -> Period:
    try:
        return period_of(text or f"{datetime.fromtimestamp(now, zone):%Y-%m}", zone)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _names(by: str) -> Names:
    names = tuple(name.strip() for name in by.split(",") if name.strip())
    unknown = [name for name in names if name not in DIMENSIONS]
    if unknown or not names or len(set(names)) < len(names):
        raise click.UsageError(f"--by must name some of {', '.join(DIMENSIONS)}, each once")
    return names
