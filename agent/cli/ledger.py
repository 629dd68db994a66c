"""``gpufin ledger`` and ``gpufin inventory``: work on the ledger beside a running agent."""

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from agent.cli.serve import DEFAULT_CONFIG, config_option
from agent.config.decode import load_settings
from agent.errors import LedgerError
from agent.ledger.entry import Entry
from agent.ledger.period import HOUR_SECONDS
from agent.money import units
from agent.runtime.clock import SystemClock
from agent.runtime.host import this_host
from agent.storage import upkeep
from agent.storage.verify import findings
from agent.units import NANOSECONDS_PER_SECOND

DEFAULT_STATE = Path("/var/lib/gpufin")
place_argument = click.argument(
    "place", type=click.Path(path_type=Path), default=DEFAULT_STATE, required=False
)
place_option = click.option(
    "--state-directory",
    "place",
    type=click.Path(path_type=Path),
    default=DEFAULT_STATE,
    show_default=True,
    help="Where the ledger lies.",
)


@click.group()
def ledger() -> None:
    """Verify, back up, compact and correct the ledger; the agent may run meanwhile."""


@ledger.command()
@place_argument
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def verify(place: Path, *, as_json: bool) -> int:
    """Look for whatever can be wrong with the ledger at PLACE (a state directory or a file)."""
    found = findings(place)
    if as_json:
        click.echo(json.dumps({"place": str(place), "findings": found}, indent=2))
    else:
        click.echo(f"{place}: {'good' if not found else f'{len(found)} findings'}")
        for each in found:
            click.echo(f"  {each}")
    return 1 if found else 0


@ledger.command()
@click.argument("target", type=click.Path(path_type=Path))
@place_option
def backup(target: Path, place: Path) -> int:
    """Copy the ledger to the file TARGET, which must not exist, and verify the copy."""
    upkeep.backup(place, target)
    found = findings(target)
    click.echo(f"{target}: {'good' if not found else f'copied, with {len(found)} findings'}")
    return 1 if found else 0


@ledger.command()
@place_option
@click.option(
    "--older-than-days",
    default=400,
    show_default=True,
    type=click.IntRange(35, 36_500),
    help="Hours of days older than this become one row for the day.",
)
@click.option(
    "--drop-before",
    metavar="YYYY-MM",
    help="Also delete the rows of all months before this one, for good.",
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help=f"For the zone of the days; default: {DEFAULT_CONFIG} if it is there.",
)
@click.option("--timezone", "zone_name", help="Zone of the days; default: the file's.")
def compact(
    place: Path,
    older_than_days: int,
    drop_before: str | None,
    config_path: Path | None,
    zone_name: str | None,
) -> int:
    """Merge old hours into local days; money, energy and time are conserved.

    The zone of the first compaction is that of all later ones.
    """
    if drop_before is not None:
        _month(drop_before)
    now = SystemClock().now().wall_ns // NANOSECONDS_PER_SECOND
    before = now - older_than_days * upkeep.DAY_SECONDS
    had, has, days = upkeep.compact(place, before, _zone(config_path, zone_name))
    click.echo(f"{place}: {had} rows became {has}, in days of {days.key}")
    if drop_before is not None:
        dropped = upkeep.drop_months(place, drop_before)
        click.echo(f"{place}: {dropped} rows of months before {drop_before} deleted")
    return 0


@ledger.command()
@config_option
@place_option
@click.option("--from", "begin", help="First day, such as 2026-11-01; default: all there is.")
@click.option("--to", "end", help="First day after the last.")
@click.option("--reason", required=True, help="Why; kept with the rows.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--also-removed",
    is_flag=True,
    help="Take back too what was booked under ids that the file has no record of any more.",
)
@click.option(
    "--other-machine",
    is_flag=True,
    help="The ledger is another machine's; the file's node labels and host name are right for it.",
)
def reprice(  # noqa: PLR0913 - one a command line option
    *,
    config_path: Path,
    place: Path,
    begin: str | None,
    end: str | None,
    reason: str,
    dry_run: bool,
    also_removed: bool,
    other_machine: bool,
) -> int:
    """Correct what is booked for prices that came late or were changed; by new rows alone.

    The hour that a running agent is in is left alone.
    """
    policy = load_settings(config_path).policy
    owner = upkeep.machine_of(place)
    if owner and owner != this_host().machine_id and not other_machine:
        raise LedgerError(
            f"{place}: is the ledger of another machine, and records may name its host or labels: "
            "reprice it there, or say --other-machine"
        )
    hours = (_hour(begin, policy.zone, 0), _hour(end, policy.zone, 2**40))
    note = (SystemClock().now().wall_ns, reason)
    done = upkeep.reprice(
        place, policy, hours, note=note, dry_run=dry_run, also_removed=also_removed
    )
    click.echo(f"{len(done.added)} rows {'would be' if dry_run else 'were'} added")
    for line in _by_month(done.added):
        click.echo(f"  {line}")
    if done.left:
        ids = ", ".join(f"{each} ({rows})" for each, rows in sorted(done.left.items()))
        click.echo(
            f"{sum(done.left.values())} rows were left alone, the file has no record of their ids: "
            f"{ids}; --also-removed takes them back"
        )
    return 0


@ledger.command("adopt")
@click.argument("place", type=click.Path(path_type=Path))
def adopt_ledger(place: Path) -> int:
    """Make a ledger that was set aside as another machine's this machine's own."""
    upkeep.take_over(place, this_host().machine_id)
    click.echo(f"{place}: is this machine's now; stop the agent and move it to ledger.sqlite")
    return 0


@click.group()
def inventory() -> None:
    """The cards that are expected and paid for."""


@inventory.command("list")
@place_option
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def list_cards(place: Path, *, as_json: bool) -> int:
    """List the expected and the retired cards."""
    cards, gone = upkeep.known_cards(place)
    if as_json:
        expected = [
            {"uuid": card.uuid, "model": card.model, "last_seen": _moment(seen)}
            for card, seen in cards
        ]
        retired = [{"uuid": uuid, "retired": _moment(at)} for uuid, at in gone]
        click.echo(json.dumps({"expected": expected, "retired": retired}, indent=2))
        return 0
    for card, seen in cards:
        click.echo(f"{card.uuid}  {card.model}  last seen {_moment(seen)}")
    for uuid, at in gone:
        click.echo(f"{uuid}  retired {_moment(at)}")
    return 0


@inventory.command("retire")
@click.argument("uuid")
@place_option
@click.option("--undo", is_flag=True, help="Expect it again when it answers.")
def retire_card(uuid: str, place: Path, *, undo: bool) -> int:
    """Take a card that left for good out of the expected ones: it costs nothing from now on."""
    known = {card.uuid for card, _ in upkeep.known_cards(place)[0]}
    if undo:
        done = upkeep.bring_back(place, uuid)
        click.echo(f"{uuid}: {'expected again' if done else 'is not retired'}")
        return 0 if done else 1
    done = upkeep.retire(place, uuid, SystemClock().now().wall_ns)
    if not done:
        click.echo(f"{uuid}: is retired already")
    elif uuid in known:
        click.echo(f"{uuid}: retired")
    else:
        click.echo(f"{uuid}: retired; the ledger did not expect it")
    return 0


def _by_month(entries: list[Entry]) -> list[str]:
    sums: dict[tuple[str, str, str, str], int] = {}
    for entry in entries:
        key = entry.key
        place = (key.month, key.currency, key.component, key.price_id)
        sums[place] = sums.get(place, 0) + entry.nanos
    return [
        f"{month} {component} {price_id or '-'}: {units(nanos):+,.2f} {currency}"
        for (month, currency, component, price_id), nanos in sorted(sums.items())
    ]


def _hour(day: str | None, zone: ZoneInfo, otherwise: int) -> int:
    if day is None:
        return otherwise
    try:
        moment = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=zone)
    except ValueError:
        raise click.UsageError(f"{day!r} is not a day such as 2026-11-01") from None
    return int(moment.astimezone(UTC).timestamp()) // HOUR_SECONDS * HOUR_SECONDS


def _zone(config_path: Path | None, name: str | None) -> ZoneInfo:
    if name is not None:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise click.UsageError(f"{name!r} is not an IANA time zone") from None
    path = config_path or Path(DEFAULT_CONFIG)
    if config_path is None and not path.exists():
        return ZoneInfo("UTC")
    return load_settings(path).policy.zone


def _month(text: str) -> None:
    try:
        datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise click.UsageError(f"{text!r} is not a month such as 2026-01") from None


def _moment(wall_ns: int) -> str:
    at = datetime.fromtimestamp(wall_ns // NANOSECONDS_PER_SECOND, UTC)
    return at.isoformat(timespec="seconds")
