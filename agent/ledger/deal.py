"""How an amount is dealt out and booked without losing any of it."""

from collections.abc import Hashable, Sequence
from fractions import Fraction


def deal(amount: int, places: Sequence[int]) -> list[int]:
    """Shares of ``amount`` (not negative) in proportion to ``places``; they sum to it exactly.

    No place gets more than it holds unless the amount is more than all hold together.
    """
    sizes = places if any(places) else [1] * len(places)
    whole, passed, given = sum(sizes), 0, 0
    shares: list[int] = []
    for size in sizes:
        passed += size
        share = amount * passed // whole - given
        given += share
        shares.append(share)
    return shares


class Carry:
    """Turns quantities into whole units at a rate; what is left over goes into the next of its key."""

    def __init__(self) -> None:
        self._left: dict[Hashable, Fraction] = {}

    def book(self, key: Hashable, quantity: int, rate: Fraction) -> int:
        """The whole units due for a quantity (not negative)."""
        due = quantity * rate + self._left.get(key, 0)
        whole = due.numerator // due.denominator
        self._left[key] = due - whole
        return whole
