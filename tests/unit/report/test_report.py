"""Sums of a report: to the digits of the examples, conserved, and what they rest on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from agent.ledger.entry import QUANTITY_UNITS, EntryKey
from agent.ledger.policy import AccountPolicy
from agent.report.build import (
    KnownCard,
    Report,
    coverage,
    coverages,
    parked,
    per_hour,
    share_unallocated,
)
from agent.report.invoice import compare, nanos_of
from agent.report.period import period_before, period_of
from agent.report.tally import DIMENSIONS, tally
from agent.storage.reading import Selection, read_ledgers
from agent.storage.upkeep import retire
from agent.usage.match import CardMatch
from agent.usage.state import CardState
from agent.usage.team import TeamRule
from tests.builders import (
    CARD,
    HOUR,
    MODEL,
    OTHER_CARD,
    SECOND,
    UTC,
    a_key,
    a_policy,
    a_rental,
    an_owned,
)
from tests.unit.report.ledgers import ACTIVE, HELD, IDLE, Hours, make, of

NOW = 1_800_000_000
TWO = a_policy(a_rental("2.00"), teams=[TeamRule("mine", CardMatch(uuid=CARD))])


def reported(
    directory: Path, by: str = "team", period: str = "2026-11", zone: ZoneInfo = UTC
) -> Report:
    chosen = period_of(period, zone)
    with read_ledgers([directory]) as reader:
        rows = list(reader.rows(Selection(chosen.start, chosen.end, chosen.months)))
        (found,) = tally(rows, tuple(by.split(",")), zone).values()
        return Report(
            period=chosen,
            before=period_before(chosen, zone),
            currency="USD",
            tally=found,
            earlier=None,
            coverage=coverage(
                found,
                chosen,
                now=NOW,
                known=reader.cards(),
                retired=reader.retired(),
            ),
            parked=parked(found),
            records=reader.records(),
            reasons=reader.reasons(),
        )


def ledger(
    directory: Path,
    courses: Mapping[str, Sequence[Hours]],
    policy: AccountPolicy = TWO,
    begin: str = "2026-11-02T00:00:00",
) -> None:
    make(directory, policy, courses, begin)


def known_card(currency: str = "USD", *, rented: bool = True) -> KnownCard:
    begin = period_of("2026-11", UTC).start
    return KnownCard(
        first_hour=begin, last_hour=begin, model=MODEL, node="l", currency=currency, rented=rented
    )


def test_idle_has_the_figures_of_the_example(tmp_path: Path) -> None:
    """8 GPUs for a day at 2.00, 150 hours allocated, 90 busy: 384 = 84 + 120 + 180."""
    uuids = [f"GPU-{number:08d}" for number in range(8)]
    hours = [(24, 0)] * 3 + [(18, 6)] + [(0, 24)] * 2 + [(0, 6), (0, 0)]
    courses = {
        uuid: [of(busy, ACTIVE), of(held, HELD), of(24 - busy - held, IDLE)]
        for uuid, (busy, held) in zip(uuids, hours, strict=True)
    }
    ledger(tmp_path, courses)

    found = reported(tmp_path)

    states = {state: nanos / 1e9 for state, nanos in found.tally.states.items() if nanos}
    assert states == {"active": 180, "held": 120, "idle": 84}
    assert found.tally.total.cost == 384 * 10**9
    shares = [states[name] / 384 * 100 for name in ("idle", "held", "active")]
    assert shares == [21.875, 31.25, 46.875]
    assert found.tally.total.idle == found.tally.total.avoidable_idle == 204 * 10**9


@pytest.mark.parametrize(
    ("how", "shares"),
    [("proportional", {"A": 256, "B": 128}), ("even", {"A": 242, "B": 142})],
)
def test_unallocated_cost_is_shared_as_in_the_example(how: str, shares: dict[str, int]) -> None:
    """84 among A (200) and B (100); both ways sum to 384."""
    assert share_unallocated({"A": 200, "B": 100, "unallocated": 84}, how) == shares


@given(
    costs=st.dictionaries(st.sampled_from("ABCDE"), st.integers(0, 10**15), min_size=1),
    rest=st.integers(0, 10**15),
    how=st.sampled_from(["even", "proportional"]),
)
def test_sharing_conserves_the_sum(costs: dict[str, int], rest: int, how: str) -> None:
    """To the nano, whatever the weights."""
    whole = costs | {"unallocated": rest}

    shared = share_unallocated(whole, how)

    assert sum(shared.values()) == sum(whole.values())
    assert all(shared[name] >= cost for name, cost in costs.items())


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["A", "B", "unallocated"]),
            st.sampled_from(["T4", "L4", "H100"]),
            st.integers(-100, 10**12),
        ),
        min_size=1,
    ),
    how=st.sampled_from(["even", "proportional"]),
)
def test_shares_of_groups_sum_to_those_of_their_teams(
    rows: list[tuple[str, str, int]], how: str
) -> None:
    """Each model of a team bears its part; nothing appears, nothing is lost."""
    lines = [
        ("l", a_key(hour=3_600 * number, team=team)._replace(model=model), (nanos, HOUR))
        for number, (team, model, nanos) in enumerate(rows)
    ]
    (found,) = tally(lines, ("model", "team"), UTC).values()
    period = period_of("1970-01", UTC)
    report = Report(
        period=period,
        before=period,
        currency="USD",
        tally=found,
        earlier=None,
        coverage=[],
        parked=[],
        records={},
        reasons={},
        sharing=how,
    )

    sums: dict[str, int] = {}
    for names, nanos in report.shared.items():
        sums[names[1]] = sums.get(names[1], 0) + nanos

    assert sum(sums.values()) == found.total.cost
    expected = share_unallocated(report.teams, how)
    assert {team: sums.get(team, 0) for team in report.teams} == {
        team: expected.get(team, 0) for team in report.teams
    }
    assert replace(report, sharing=None).shared == {}


def test_cost_of_a_used_hour_has_the_figures_of_the_example() -> None:
    """1.494032 an hour is 2.490053 for one that is used at 60 % and 5.976128 at 25 %."""
    total = 1_494_032  # millionths
    for used, cost in ((Fraction(3, 5), 2.490053), (Fraction(1, 4), 5.976128)):
        rate = per_hour(total * 100, used * 100)
        assert rate is not None
        assert float(rate) / 1e6 == pytest.approx(cost, abs=5e-7)
    assert per_hour(5, Fraction(0)) is None


keys = st.builds(
    a_key,
    hour=st.integers(0, 60).map(lambda hour: 1_793_577_600 + hour * 3_600),
    month=st.just("2026-11"),
    state=st.sampled_from([state.value for state in CardState]),
    component=st.sampled_from(sorted(QUANTITY_UNITS)),
    team=st.sampled_from(["a", "b", ""]),
    filled=st.booleans(),
)
amounts = st.tuples(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))


@given(
    rows=st.dictionaries(keys, amounts, max_size=30),
    by=st.lists(st.sampled_from(DIMENSIONS), min_size=1, unique=True).map(tuple),
)
def test_every_split_sums_to_the_total(
    rows: dict[EntryKey, tuple[int, int]], by: tuple[str, ...]
) -> None:
    """Groups, states, components, price records and days: the same nanos in other heaps."""
    lines = [
        (
            "l",
            key,
            pair if key.component in {"rental", "capital", "opex", "energy"} else (0, pair[1]),
        )
        for key, pair in rows.items()
    ]
    for found in tally(lines, by, UTC).values():
        cost = sum(nanos for _, _, (nanos, _) in lines)
        assert found.total.cost == cost
        assert sum(group.money.cost for group in found.groups.values()) == cost
        assert sum(found.states.values()) == cost
        assert sum(found.components.values()) == cost
        assert sum(nanos for nanos, _ in found.prices.values()) == cost
        assert sum(sum(states.values()) for states in found.days.values()) == cost
        assert sum(sum(card.money.values()) for card in found.cards.values()) == cost


def test_time_of_an_owned_card_is_counted_once(tmp_path: Path) -> None:
    """Capital and running cost are two rows of one hour."""
    ledger(tmp_path, {CARD: [of(5, ACTIVE)]}, a_policy(an_owned(opex="0.6")))

    found = reported(tmp_path)

    assert found.hours == found.busy_hours == 5


def test_months_begin_at_local_midnight_inside_an_hour(tmp_path: Path) -> None:
    """Kathmandu: the hour of the change of month is shared, each month gets its part."""
    zone = ZoneInfo("Asia/Kathmandu")
    policy = a_policy(a_rental("2.00"), zone=zone)
    ledger(tmp_path, {CARD: [of(2, ACTIVE)]}, policy, "2026-10-31T17:15:00")

    october = reported(tmp_path, period="2026-10", zone=zone)
    november = reported(tmp_path, period="2026-11", zone=zone)

    assert [october.tally.total.cost, november.tally.total.cost] == [2 * 10**9, 2 * 10**9]


def test_coverage_names_the_hours_that_are_missing(tmp_path: Path) -> None:
    """Expected from the first hour on, until now or the end of the period."""
    ledger(tmp_path, {CARD: [of(24, ACTIVE)]}, begin="2026-11-28T00:00:00")

    (card,) = reported(tmp_path).coverage

    assert (card.expected, card.booked, card.missing) == (72, 24, 48)


def test_a_retired_card_is_expected_until_it_left(tmp_path: Path) -> None:
    """Not a minute longer."""
    ledger(tmp_path, {CARD: [of(24, ACTIVE)]}, begin="2026-11-28T00:00:00")
    retire(tmp_path, CARD, 1_795_910_400 * SECOND)  # 2026-11-29 00:00

    (card,) = reported(tmp_path).coverage

    assert (card.expected, card.missing) == (24, 0)


def test_a_card_that_was_dark_all_month_is_missing_all_month(tmp_path: Path) -> None:
    """Expected since it was booked before, and not retired; a card that left is not."""
    ledger(
        tmp_path, {CARD: [of(24, ACTIVE)], OTHER_CARD: [of(24, HELD)]}, begin="2026-10-30T00:00:00"
    )
    ledger(tmp_path / "more", {CARD: [of(24, ACTIVE)]}, begin="2026-11-29T00:00:00")

    with read_ledgers([tmp_path, tmp_path / "more"]) as reader:
        period, cards = period_of("2026-11", UTC), reader.cards()
        rows = list(reader.rows(Selection(period.start, period.end, period.months)))
    found = tally(rows, ("team",), UTC)
    left = {OTHER_CARD: period.start}
    covered = coverages(found, period, now=NOW, known=cards, retired={})["USD"]

    assert [(each.uuid, each.model, each.missing) for each in covered] == [
        (CARD, MODEL, 720 - 24),
        (OTHER_CARD, MODEL, 720),
    ]
    (only,) = coverages(found, period, now=NOW, known=cards, retired=left)["USD"]
    assert only.uuid == CARD
    assert coverages({}, period, now=period.start, known=cards, retired={}) == {}


def test_a_card_without_rows_stands_under_its_own_currency() -> None:
    """Once, also when another currency has rows in the period."""
    period = period_of("2026-11", UTC)
    euros = known_card(currency="EUR")
    key = a_key(hour=period.start, month="2026-11")._replace(uuid=OTHER_CARD)
    found = tally([("l", key, (1, HOUR))], ("team",), UTC)

    covered = coverages(
        found, period, now=NOW, known={CARD: euros, OTHER_CARD: known_card()}, retired={}
    )

    assert {name: [each.uuid for each in cards] for name, cards in covered.items()} == {
        "EUR": [CARD],
        "USD": [OTHER_CARD],
    }


def test_a_card_that_moved_is_known_since_its_first_hour(tmp_path: Path) -> None:
    """From one node to another: where it was last, and since when it was first."""
    ledger(tmp_path / "old", {CARD: [of(2, ACTIVE)]}, begin="2026-10-01T00:00:00")
    ledger(tmp_path / "new", {CARD: [of(2, ACTIVE)]}, a_policy(an_owned()), "2026-11-01T00:00:00")

    with read_ledgers([tmp_path / "old"]) as reader:
        (old,) = reader.cards().values()
    with read_ledgers([tmp_path / "new", tmp_path / "old"]) as reader:
        (card,) = reader.cards().values()

    assert (old.rented, card.rented) == (True, False)
    assert (card.first_hour, card.node != old.node) == (old.first_hour, True)
    assert card.last_hour - card.first_hour == 31 * 86_400 + 3_600


def test_days_are_not_compared_with_days_of_another_month(tmp_path: Path) -> None:
    """They do not come again: no rows of October in November, and no change against nothing."""
    ledger(tmp_path, {CARD: [of(72, ACTIVE)]}, begin="2026-10-30T00:00:00")
    before = reported(tmp_path, "day,team", "2026-10").tally

    by_day = replace(reported(tmp_path, "day,team"), earlier=before)
    by_team = replace(reported(tmp_path), earlier=reported(tmp_path, period="2026-10").tally)

    assert [(names, change) for names, _, change in by_day.rows] == [(("2026-11-01", "mine"), None)]
    assert [(names, change) for names, _, change in by_team.rows] == [(("mine",), 96 * 10**9)]


def test_parked_models_show_their_power(tmp_path: Path) -> None:
    """120 W held against 70 W empty: 50 W for ten hours; a rental pays nothing for them."""
    courses = {CARD: [of(10, HELD), of(5, IDLE)], OTHER_CARD: [of(15, HELD)]}
    ledger(tmp_path / "rented", courses)
    ledger(tmp_path / "owned", courses, a_policy(an_owned()))

    (rented,), (owned,) = (reported(tmp_path / kind).parked for kind in ("rented", "owned"))

    assert rented.uuid == CARD  # the other was never seen empty: nothing to compare with
    assert (rented.held_watts, rented.idle_watts, rented.hours) == (120, 70, 10)
    assert rented.kwh == pytest.approx(0.5)
    assert rented.nanos is None
    assert owned.nanos == 84_000_000  # 0.5 kWh x 1.4 x 0.12


# ---- invoices


def test_invoice_is_compared_with_rented_cards_and_reasons_are_ranked(tmp_path: Path) -> None:
    """24 hours at 2.00 booked; the provider asks 60: twelve, and what could explain it."""
    ledger(tmp_path, {CARD: [of(24, ACTIVE)]}, begin="2026-11-28T00:00:00")

    found = compare(reported(tmp_path), nanos_of("60.00"))

    assert (found.rented, found.difference) == (48 * 10**9, 12 * 10**9)
    assert [(reason.what, reason.nanos) for reason in found.reasons] == [
        ("48.0 GPU-hours that are not booked, at the mean rate", 96 * 10**9)
    ]


def test_tax_and_discount_of_the_records_are_reasons(tmp_path: Path) -> None:
    """2.00 with 19 % tax in it, 20 % off before: the net sum and the list price are told."""
    record = '{"discount_ratio": "0.2", "tax_ratio": "0.19"}'
    rental = a_rental(Fraction("2.00") * Fraction("0.8") * Fraction("1.19"))
    ledger(tmp_path, {CARD: [of(10, ACTIVE)]}, a_policy(replace(rental, record=record)))

    found = compare(reported(tmp_path, period="2026-11-02"), nanos_of("16"))

    assert found.difference == -3_040_000_000
    told = {reason.what.split()[0]: reason.nanos for reason in found.reasons}
    assert told["tax"] == -3_040_000_000
    assert told["discount"] == 4_760_000_000
    assert found.reasons[0].nanos == found.difference


def test_reasons_are_of_rented_cards_alone() -> None:
    """An owned card's filled, down, corrected and missing time is none of the provider's."""
    period = period_of("2026-11", UTC)
    rent = a_key(hour=period.start, month="2026-11")
    own = rent._replace(uuid=OTHER_CARD, component="capital", price_id="own")
    rows = [
        ("l", key._replace(**changes), (units * 10**9, 0 if "correction" in changes else HOUR))
        for key, times in ((rent, 1), (own, 100))
        for units, changes in (
            (20 * times, {"hour": rent.hour}),
            (5 * times, {"filled": True}),
            (3 * times, {"state": CardState.DOWN}),
            (2 * times, {"correction": 1}),
        )
    ]
    (found,) = tally(rows, ("team",), UTC).values()
    known = {CARD: known_card(), OTHER_CARD: known_card(rented=False)}
    report = Report(
        period=period,
        before=period,
        currency="USD",
        tally=found,
        earlier=None,
        coverage=coverage(found, period, now=period.start + 24 * 3_600, known=known, retired={}),
        parked=[],
        records={},
        reasons={},
    )

    told = {reason.what.split(":")[0]: reason.nanos for reason in compare(report, 0).reasons}

    assert told == {
        "21.0 GPU-hours that are not booked, at the mean rate": 210 * 10**9,
        "time filled in after the agent was away": -5 * 10**9,
        "cards that were down": -3 * 10**9,
        "correction 1 (without a reason), if the invoice is from before it": -2 * 10**9,
        "cost of owned cards, if the total is of all cards (not counted above)": 3_000 * 10**9,
    }


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("12,345.67", 12_345_670_000_000),
        ("1,234,567", 1_234_567 * 10**9),
        ("12345.67", 12_345_670_000_000),
        ("0.000000001", 1),
        (" 5 ", 5 * 10**9),
        ("-1,000.50", -1_000_500_000_000),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, nanos: int) -> None:
    """Exactly."""
    assert nanos_of(text) == nanos


@pytest.mark.parametrize(
    "text",
    [
        *("", "much", "1/0", "1.2.3", "12,34.5", "1234,567.00", "1e3", "1_000", ".5", "5.", "--1"),
        *("9" * 5_000, "\u0661\u0662"),
    ],
)
def test_what_is_no_amount_is_said(text: str) -> None:
    """With an example of one."""
    with pytest.raises(ValueError, match=r"is no amount such as 12345\.67 or 12,345\.67"):
        nanos_of(text)


@pytest.mark.parametrize(
    ("text", "meant"), [("12.345,67", "12345.67"), ("12345,67", "12345.67"), ("1,5", "1.5")]
)
def test_a_decimal_comma_is_not_guessed_at(text: str, meant: str) -> None:
    """It was read as thousands, silently; now it says what would be right."""
    with pytest.raises(ValueError, match=rf"did you mean {meant}\?"):
        nanos_of(text)


def test_time_counts_what_a_correction_moves() -> None:
    """Unpriced hours that were priced later are no more unpriced, and counted once."""
    unpriced = a_key(component="unpriced", team="t")._replace(price_id="")
    rows = [
        ("l", unpriced, (0, HOUR)),
        ("l", unpriced._replace(correction=1), (0, -HOUR)),
        ("l", a_key(team="t")._replace(correction=1), (2 * 10**9, HOUR)),
    ]

    (found,) = tally(rows, ("team",), UTC).values()

    assert found.time_ns == HOUR
    assert found.cards[CARD].unpriced_ns == 0
    assert found.corrections == {1: 2 * 10**9}


def test_time_of_a_record_that_changed_its_kind_is_counted_once() -> None:
    """Rental taken back and capital booked under one id: ten hours stay ten."""
    capital = a_key(component="capital")._replace(correction=1)
    rows = [
        ("l", a_key(), (2 * 10**9, 10 * HOUR)),
        ("l", a_key()._replace(correction=1), (-2 * 10**9, -10 * HOUR)),
        ("l", capital, (10**9, 10 * HOUR)),
        ("l", capital._replace(component="opex"), (10**9, 10 * HOUR)),
    ]

    (found,) = tally(rows, ("team",), UTC).values()

    assert found.time_ns == 10 * HOUR
    assert [group.time_ns for group in found.groups.values()] == [10 * HOUR]
