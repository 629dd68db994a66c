"""The running sums of this process: counters from zero, months from the ledger, rows to be written."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from agent.ledger.entry import (
    MONEY_COMPONENTS,
    Entry,
    EntryKey,
    MonthKey,
    MonthSums,
    sums_of,
)


class Counters:
    """Integer sums since the process started, by metric name and label values; they only rise."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[tuple[str, ...], int]] = defaultdict(dict)
        self._forgotten: dict[str, int] = defaultdict(int)

    def add(self, name: str, labels: tuple[str, ...], amount: int) -> None:
        """Add ``amount`` (not negative); 0 makes the series appear.

        A new series stands in a scrape at 0 before it rises: ``increase()`` sees nothing of a
        series that is born at a value.
        """
        sums = self._sums[name]
        sums[labels] = sums.get(labels, 0) + amount

    def relabel(self, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        """Carry the series that begin with the labels ``old`` over to ``new``."""
        for sums in self._sums.values():
            for labels in [labels for labels in sums if labels[: len(old)] == old]:
                sums[new + labels[len(old) :]] = sums.pop(labels)

    def forget(self, first: tuple[str, ...]) -> None:
        """Drop the series that begin with these labels."""
        for name, sums in self._sums.items():
            for labels in [labels for labels in sums if labels[: len(first)] == first]:
                self._forgotten[name] += sums.pop(labels)

    def total(self, name: str) -> int:
        """The sum of a metric over all its series, those that were forgotten too."""
        return sum(self._sums.get(name, {}).values()) + self._forgotten.get(name, 0)

    def snapshot(self) -> Mapping[str, Mapping[tuple[str, ...], int]]:
        """The sums now, as copies that later additions leave alone."""
        return {name: dict(sums) for name, sums in self._sums.items()}


class Months:
    """What each month, team and currency cost: gauges that survive restarts."""

    def __init__(self, recovered: Mapping[MonthKey, MonthSums]) -> None:
        self._sums: dict[MonthKey, MonthSums] = dict(recovered)

    def add(self, entries: Iterable[Entry]) -> None:
        """Book entries, filled ones too."""
        for entry in entries:
            if entry.nanos:
                key = MonthKey(entry.key.month, entry.key.team, entry.key.currency)
                self._sums[key] = self._sums.get(key, MonthSums()).plus(
                    sums_of(entry.key, entry.nanos)
                )
            elif entry.key.component in MONEY_COMPONENTS:
                key = MonthKey(entry.key.month, entry.key.team, entry.key.currency)
                self._sums.setdefault(key, MonthSums())

    def total(self) -> int:
        """The cost of all months together, in nanos."""
        return sum(sums.cost for sums in self._sums.values())

    def snapshot(self, labels: Iterable[str]) -> Mapping[MonthKey, MonthSums]:
        """The sums of the months named.

        The others are kept: a wall clock that steps into another month comes back.
        """
        wanted = set(labels)
        return {key: value for key, value in self._sums.items() if key.month in wanted}


class Pending:
    """Rows that wait for the next flush."""

    def __init__(self) -> None:
        self._rows: dict[EntryKey, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, entries: Iterable[Entry]) -> None:
        """Sum entries by key."""
        for entry in entries:
            nanos, quantity = self._rows.get(entry.key, (0, 0))
            self._rows[entry.key] = (nanos + entry.nanos, quantity + entry.quantity)

    def entries(self) -> Iterator[Entry]:
        """What waits, line by line."""
        return (Entry(key, *amounts) for key, amounts in self._rows.items())

    def take(self) -> dict[EntryKey, tuple[int, int]]:
        """All rows; none are left."""
        rows, self._rows = self._rows, {}
        return rows

    def put_back(self, rows: Mapping[EntryKey, tuple[int, int]]) -> None:
        """Return rows that could not be written."""
        for key, (nanos, quantity) in rows.items():
            more_nanos, more_quantity = self._rows.get(key, (0, 0))
            self._rows[key] = (nanos + more_nanos, quantity + more_quantity)


class Sums:
    """Counters, months and pending rows together: what is kept in one of them is kept in all.

    Filled and corrected money enters the months and the ledger, never a counter.
    """

    def __init__(self, recovered: Mapping[MonthKey, MonthSums]) -> None:
        self.counters = Counters()
        self.months = Months(recovered)
        self.pending = Pending()
        self._beside_nanos = self.months.total()
        """Money in the months that no counter knows: of earlier processes, filled, corrected."""

    def keep(self, entries: Iterable[Entry], *, filled: bool = False) -> None:
        """Add entries to the months and to what is written next."""
        kept = tuple(entries)
        self.months.add(kept)
        self.pending.add(kept)
        if filled:
            self._beside_nanos += sum(entry.nanos for entry in kept)

    def resync(self, months: Mapping[MonthKey, MonthSums]) -> None:
        """Take the sums that a ledger holds now; what waits to be written comes on top."""
        before = self.months.total()
        self.months = Months(months)
        self.months.add(self.pending.entries())
        self._beside_nanos += self.months.total() - before

    @property
    def unreconciled_nanos(self) -> int:
        """By how much sums differ that are kept apart and must be equal; anything but 0 is a defect.

        This process's cost by state, by component, by team, and what the months have grown by.
        """
        cost = self.counters.total("gpufin_cost_total")
        others = (
            self.counters.total("gpufin_cost_component_total"),
            self.counters.total("gpufin_team_cost_total"),
            self.months.total() - self._beside_nanos,
        )
        return max(abs(cost - other) for other in others)
