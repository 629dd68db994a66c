"""From an interval of one card to ledger entries: cut at every edge, priced, exact."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from agent.cost.energy import CarbonIntensity
from agent.cost.prices import COMMITTED, PriceTable, Terms
from agent.ledger.entry import Component, Entry, EntryKey
from agent.ledger.period import Slice, slices
from agent.money import accrue
from agent.samples.device import GpuIdentity
from agent.units import NANOSECONDS_PER_SECOND
from agent.usage.energy import EnergyMethod
from agent.usage.state import CardState

BY_TIME = "time"
BY_HOST = "host"
"""Energy of the host beside the cards: a figure of the operator times time."""

Piece = tuple[Slice, Terms]
"""A part of an interval, and the terms that hold in it."""
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
    exempt: str = ""


@dataclass(frozen=True, slots=True)
class Emissions:
    """What is known of carbon: ``expected`` and no ``intensity`` means that it is not known now."""

    expected: bool = False
    intensity: CarbonIntensity | None = None
    embodied_ng_per_ns: Fraction | None = None


NO_EMISSIONS = Emissions()


@dataclass(frozen=True, slots=True)
class Books:
    """What intervals are posted with; ``remainders`` are carried forward in place."""

    table: PriceTable
    zone: ZoneInfo
    remainders: Remainders
    emissions: Emissions = NO_EMISSIONS


def post(interval: Interval, books: Books) -> list[Entry]:
    """The entries of an interval, its time and its energy."""
    pieces = list(_pieces(interval, books))
    return [*_time(interval, pieces, books), *_energy(interval, pieces, books)]


def post_time(interval: Interval, books: Books) -> list[Entry]:
    """What the time of an interval costs; the pieces sum to the interval to the nanosecond."""
    return list(_time(interval, list(_pieces(interval, books)), books))


def post_energy(interval: Interval, books: Books) -> list[Entry]:
    """What its energy costs, spread evenly over its time; the pieces sum to it to the millijoule."""
    return list(_energy(interval, list(_pieces(interval, books)), books))


def spread(millijoules: int, edges: Sequence[int]) -> list[int]:
    """An amount over adjoining parts by their lengths; the parts sum to it.  The edges are not all one."""
    start, length = edges[0], edges[-1] - edges[0]
    until = [millijoules * (edge - start) // length for edge in edges]
    return [after - before for before, after in pairwise(until)]


def add_remainders(remainders: Remainders, others: Remainders) -> None:
    """Add what other bookings left over; what is more than a whole comes with the next booking."""
    for carried, (remainder, denominator) in others.items():
        mine, unit = remainders.get(carried, (0, denominator))
        remainders[carried] = (mine + remainder * unit // denominator, unit)


def _pieces(interval: Interval, books: Books) -> Iterator[Piece]:
    for part in slices(interval.start_wall_ns, interval.end_wall_ns, books.zone):
        for terms in books.table.terms(interval.gpu, part.hour):
            start_ns, end_ns = max(part.start_ns, terms.start_ns), min(part.end_ns, terms.end_ns)
            if start_ns < end_ns:
                yield Slice(start_ns, end_ns, part.hour, part.month), terms


def _time(interval: Interval, pieces: list[Piece], books: Books) -> Iterator[Entry]:
    for piece, terms in pieces:
        yield from _rates(interval, piece, terms, books)
        host_mw = 0 if terms.price is None else terms.price.host_mw
        if terms.price is not None and host_mw and not interval.filled:
            # Whether the host ran while the agent was away is not known.
            carried = (interval.gpu.uuid, BY_HOST, terms.price.id)
            rate = Fraction(host_mw, NANOSECONDS_PER_SECOND)
            millijoules = _accrue(books, carried, piece.end_ns - piece.start_ns, rate)
            yield from _energy_entries(interval, (piece, terms), millijoules, BY_HOST, books)


def _rates(interval: Interval, piece: Slice, terms: Terms, books: Books) -> Iterator[Entry]:
    uuid, duration_ns = interval.gpu.uuid, piece.end_ns - piece.start_ns
    embodied = books.emissions.embodied_ng_per_ns
    if embodied is not None:
        component = Component.CARBON_EMBODIED
        nanograms = _accrue(books, (uuid, component, ""), duration_ns, embodied)
        yield Entry(_key(interval, piece, books, component, "", BY_TIME), 0, nanograms)
    price = terms.price
    if price is None:
        key = _key(interval, piece, books, Component.UNPRICED, "", BY_TIME)
        yield Entry(key, 0, duration_ns)
        return
    for rate in terms.rates:
        carried = (uuid, rate.component, price.id)
        nanos = _accrue(books, carried, duration_ns, rate.nanos_per_ns)
        key = _key(interval, piece, books, rate.component, price.id, BY_TIME)
        yield Entry(key, nanos, duration_ns, variable=price.tier not in COMMITTED)
    if not terms.rates:  # owned and written off: the time is priced, at nothing
        key = _key(interval, piece, books, price.rates[0].component, price.id, BY_TIME)
        yield Entry(key, 0, duration_ns)


def _energy(interval: Interval, pieces: list[Piece], books: Books) -> Iterator[Entry]:
    whole_mj, start_ns = interval.energy_mj, interval.start_wall_ns
    if whole_mj is None:
        return
    booked_mj = 0
    for piece, terms in pieces:
        until_mj = whole_mj * (piece.end_ns - start_ns) // (interval.end_wall_ns - start_ns)
        method = str(interval.energy_method)
        yield from _energy_entries(interval, (piece, terms), until_mj - booked_mj, method, books)
        booked_mj = until_mj


def _energy_entries(
    interval: Interval, at: Piece, millijoules: int, method: str, books: Books
) -> Iterator[Entry]:
    piece, terms = at
    uuid = interval.gpu.uuid
    component, nanos, price_id = Component.ENERGY, 0, ""
    if terms.energy is not None:
        price_id = terms.energy.id
        carried = (uuid, component, price_id)
        nanos = _accrue(books, carried, millijoules, terms.energy.nanos_per_mj)
    elif terms.price is not None and terms.price.bills_energy:
        component = Component.UNPRICED_ENERGY
    # A rental contains its electricity: the quantity is booked, at no price.
    key = _key(interval, piece, books, component, price_id, method)
    yield Entry(key, nanos, millijoules, variable=True)
    emissions = books.emissions
    if emissions.intensity is not None:
        component, price_id = Component.CARBON, emissions.intensity.id
        rate = emissions.intensity.nanograms_per_mj
        nanograms = _accrue(books, (uuid, component, price_id), millijoules, rate)
        yield Entry(_key(interval, piece, books, component, price_id, method), 0, nanograms)
    elif emissions.expected:
        key = _key(interval, piece, books, Component.CARBON_UNKNOWN, "", method)
        yield Entry(key, 0, millijoules)


def _accrue(books: Books, carried: tuple[str, str, str], quantity: int, rate: Fraction) -> int:
    remainder, denominator = books.remainders.get(carried, (0, rate.denominator))
    if denominator != rate.denominator:
        # The record was edited in place, or an exchange rate changed: keep what fits the new rate.
        remainder = remainder * rate.denominator // denominator
    amount, remainder = accrue(quantity, rate, remainder)
    books.remainders[carried] = (remainder, rate.denominator)
    return amount


def _key(
    interval: Interval, piece: Slice, books: Books, component: str, price_id: str, method: str
) -> EntryKey:
    return EntryKey(
        hour=piece.hour,
        month=piece.month,
        uuid=interval.gpu.uuid,
        state=interval.state,
        component=component,
        price_id=price_id,
        currency=books.table.currency,
        team=interval.team,
        model=interval.gpu.model,
        method=method,
        filled=interval.filled,
        exempt=interval.exempt,
    )
