"""A provider's invoice against the ledger: the difference, and where it can come from."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from agent.ledger.entry import Component
from agent.ledger.period import HOUR_NS
from agent.money import NANOS_PER_UNIT
from agent.report.build import Report


@dataclass(frozen=True, slots=True)
class Reason:
    """What a part of the difference may be; nanos by which the ledger would move towards the invoice."""

    what: str
    nanos: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The invoice, what the ledger holds of rented cards, and reasons, the largest first.

    The reasons are possibilities, each known by itself; they need not sum to the difference.
    """

    invoice: int
    rented: int
    reasons: tuple[Reason, ...]

    @property
    def difference(self) -> int:
        """Nanos that the invoice is above the ledger."""
        return self.invoice - self.rented


def compare(report: Report, invoice: int) -> Comparison:
    """Hold an invoice (nanos, of rented cards) against a report."""
    rented = report.tally.components.get(Component.RENTAL, 0)
    difference = invoice - rented
    reasons = [each for each in _reasons(report, rented) if each.nanos]
    # First what points the way of the difference, the largest in size first.
    reasons.sort(key=lambda each: (each.nanos * difference < 0, -abs(each.nanos)))
    return Comparison(invoice, rented, tuple(reasons))


def _reasons(report: Report, rented: int) -> Iterator[Reason]:
    found = report.tally
    rate = _mean_rate(report, rented)
    if rate is not None:
        cards = [each for each in report.coverage if each.rented]
        unpriced = sum(each.unpriced for each in cards)
        missing = sum(each.missing for each in cards)
        yield Reason(
            f"{unpriced:.1f} unpriced GPU-hours, at the mean rate",
            _nanos(rate * Fraction(unpriced)),
        )
        yield Reason(
            f"{missing:.1f} GPU-hours that are not booked, at the mean rate",
            _nanos(rate * Fraction(missing)),
        )
    yield Reason(
        "time filled in after the agent was away: the instances may have been stopped",
        -found.rent.filled,
    )
    yield Reason("cards that were down: the provider may have credited them", -found.rent.down)
    for number, nanos in sorted(found.rent.corrections.items()):
        why = report.reasons.get(number, "without a reason")
        yield Reason(f"correction {number} ({why}), if the invoice is from before it", -nanos)
    tax, discount = _tax_and_discount(report)
    yield Reason("tax in the price records, if the invoice total is net", -tax)
    yield Reason("discount in the price records, if the invoice does not give it", discount)
    own = sum(
        found.components.get(name, 0)
        for name in (Component.CAPITAL, Component.OPEX, Component.ENERGY)
    )
    yield Reason("cost of owned cards, if the total is of all cards (not counted above)", own)


def _mean_rate(report: Report, rented: int) -> Fraction | None:
    """Units of nanos for one rented GPU-hour, as booked."""
    hours = Fraction(
        sum(
            quantity
            for (_, component), (_, quantity) in report.tally.prices.items()
            if component == Component.RENTAL
        ),
        HOUR_NS,
    )
    return Fraction(rented) / hours if hours > 0 else None


def _tax_and_discount(report: Report) -> tuple[int, int]:
    tax, discount = Fraction(0), Fraction(0)
    for (identifier, component), (nanos, _) in report.tally.prices.items():
        for text in report.records.get(identifier, ())[:1]:
            record = json.loads(text)
            if component == Component.RENTAL:
                taxed = 1 + Fraction(str(record.get("tax_ratio", 0)))
                left = 1 - Fraction(str(record.get("discount_ratio", 0)))
                tax += nanos - nanos / taxed
                discount += nanos / left - nanos
    return round(tax), round(discount)


def _nanos(amount: Fraction) -> int:
    return round(amount)


_AMOUNT = re.compile(r"-?([0-9]{1,3}(,[0-9]{3})+|[0-9]+)(\.[0-9]+)?")
_WITH_A_COMMA = re.compile(r"(-?[0-9.]+),([0-9]+)")


def nanos_of(text: str) -> int:
    """An amount as people write it, ``12,345.67`` or ``12345.67``; a credit note is below zero.

    Raises:
        ValueError: it is no such amount; a decimal comma is not guessed at.
    """
    plain = text.strip()
    try:
        if _AMOUNT.fullmatch(plain):
            return round(Fraction(plain.replace(",", "")) * NANOS_PER_UNIT)
    except ValueError:  # thousands of digits
        pass
    found = _WITH_A_COMMA.fullmatch(plain)
    meant = f": did you mean {found[1].replace('.', '')}.{found[2]}?" if found else ""
    raise ValueError(f"{text[:40]!r} is no amount such as 12345.67 or 12,345.67{meant}")
