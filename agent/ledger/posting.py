"""From an interval of one card to ledger entries: cut at every edge, priced, exact."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from zoneinfo import ZoneInfo

from agent.cost.prices import Price, PriceTable
from agent.ledger.entry import Component, Entry, EntryKey
from agent.ledger.period import Slice, slices
from agent.money import accrue
from agent.samples.device import GpuIdentity
from agent.usage.energy import EnergyMethod
from agent.usage.state import CardState

BY_TIME = "time"

Piece = tuple[Slice, Price | None]
"""A slice of an interval, and the price that holds in it."""
Remainders = dict[tuple[str, str, str], tuple[int, int]]
"""(uuid, component, price id) to (remainder, denominator): what the last booking left over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What one card did in [start_wall_ns, end_wall_ns), UTC.

    ``energy_mj`` is None when it was not measured: nothing is booked for it then.  An interval of no
    length books nothing.
    """

    gpu: GpuIdentity
    team: str
    state: CardState
    start_wall_ns: int
    end_wall_ns: int
    energy_mj: int | None = None
    energy_method: EnergyMethod = EnergyMethod.NONE
    filled: bool = False


def post(
    interval: Interval, table: PriceTable, zone: ZoneInfo, remainders: Remainders
) -> list[Entry]:
    """The entries of an interval, its time and its energy; carries ``remainders`` forward in place."""
    pieces = list(_pieces(interval, table, zone))
    entries = _time(interval, pieces, table, remainders)
    return entries + _energy(interval, pieces, table, remainders)


def post_time(
    interval: Interval, table: PriceTable, zone: ZoneInfo, remainders: Remainders
) -> list[Entry]:
    """What the time of an interval costs; the slices sum to the interval to the nanosecond."""
    return _time(interval, _pieces(interval, table, zone), table, remainders)


def post_energy(
    interval: Interval, table: PriceTable, zone: ZoneInfo, remainders: Remainders
) -> list[Entry]:
    """What its energy costs, spread evenly over its time; the slices sum to it to the millijoule."""
    return _energy(interval, _pieces(interval, table, zone), table, remainders)


def _time(
    interval: Interval, pieces: Iterable[Piece], table: PriceTable, remainders: Remainders
) -> list[Entry]:
    entries: list[Entry] = []
    for piece, price in pieces:
        entries += _time_entries(interval, piece, price, table, remainders)
    return entries


def _energy(
    interval: Interval, pieces: Iterable[Piece], table: PriceTable, remainders: Remainders
) -> list[Entry]:
    whole_mj, start_ns = interval.energy_mj, interval.start_wall_ns
    if whole_mj is None:
        return []
    entries: list[Entry] = []
    booked_mj = 0
    for piece, price in pieces:
        until_mj = whole_mj * (piece.end_ns - start_ns) // (interval.end_wall_ns - start_ns)
        entries.append(
            _energy_entry(interval, piece, price, table, remainders, until_mj - booked_mj)
        )
        booked_mj = until_mj
    return entries


def _pieces(interval: Interval, table: PriceTable, zone: ZoneInfo) -> Iterator[Piece]:
    uuid, model = interval.gpu.uuid, interval.gpu.model
    cuts = table.cuts(uuid, model)
    for piece in slices(interval.start_wall_ns, interval.end_wall_ns, zone, cuts):
        yield piece, table.at(uuid, model, piece.start_ns)


def _time_entries(
    interval: Interval, piece: Slice, price: Price | None, table: PriceTable, remainders: Remainders
) -> list[Entry]:
    duration_ns = piece.end_ns - piece.start_ns
    if price is None:
        key = _key(interval, piece, Component.UNPRICED, "", table.currency, BY_TIME)
        return [Entry(key, 0, duration_ns)]
    entries = []
    for rate in price.rates:
        if not rate.from_ns <= piece.start_ns < rate.to_ns:
            continue
        nanos = _accrue(
            remainders,
            (interval.gpu.uuid, rate.component, price.id),
            duration_ns,
            rate.nanos_per_ns,
        )
        key = _key(interval, piece, rate.component, price.id, price.currency, BY_TIME)
        entries.append(Entry(key, nanos, duration_ns))
    if not entries:  # owned and written off, or not in service yet: the time is priced, at nothing
        key = _key(interval, piece, price.rates[0].component, price.id, price.currency, BY_TIME)
        entries.append(Entry(key, 0, duration_ns))
    return entries


def _energy_entry(
    interval: Interval,
    piece: Slice,
    price: Price | None,
    table: PriceTable,
    remainders: Remainders,
    millijoules: int,
) -> Entry:
    # A rental contains its electricity: the quantity is booked, at no price.
    tariff = table.tariff if price is not None and price.bills_energy else None
    nanos, price_id = 0, ""
    if tariff is not None:
        price_id = tariff.id
        carried = (interval.gpu.uuid, Component.ENERGY, price_id)
        nanos = _accrue(remainders, carried, millijoules, tariff.nanos_per_mj)
    method = str(interval.energy_method)
    return Entry(
        _key(interval, piece, Component.ENERGY, price_id, table.currency, method),
        nanos,
        millijoules,
    )


def _accrue(
    remainders: Remainders, carried: tuple[str, str, str], quantity: int, rate: Fraction
) -> int:
    remainder, denominator = remainders.get(carried, (0, rate.denominator))
    if (
        denominator != rate.denominator
    ):  # the record was edited in place: keep what fits the new rate
        remainder = remainder * rate.denominator // denominator
    nanos, remainder = accrue(quantity, rate, remainder)
    remainders[carried] = (remainder, rate.denominator)
    return nanos


def _key(
    interval: Interval, piece: Slice, component: str, price_id: str, currency: str, method: str
) -> EntryKey:
    return EntryKey(
        hour=piece.hour,
        month=piece.month,
        uuid=interval.gpu.uuid,
        state=interval.state,
        component=component,
        price_id=price_id,
        currency=currency,
        team=interval.team,
        model=interval.gpu.model,
        method=method,
        filled=interval.filled,
    )
