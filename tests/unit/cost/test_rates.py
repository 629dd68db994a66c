"""The formulas of money for time, to the digits of the worked example."""

from fractions import Fraction

import pytest

from agent.cost.rates import (
    FOREVER_NS,
    annuity_payment,
    break_even_hours_per_day,
    depreciation,
    hourly,
    running_per_hour,
)
from agent.units import NANOSECONDS_PER_HOUR

CAPEX, SALVAGE, LIFE, GPUS = Fraction(280_000), Fraction(28_000), Fraction(5), 8
RUNNING = {
    "purchase": CAPEX,
    "maintenance_ratio": Fraction("0.05"),
    "space_per_kw_month": Fraction(150),
    "space_kw": Fraction(10),
    "staff_per_year": Fraction(12_000),
}


def straight_line_per_hour() -> Fraction:
    rate = depreciation(
        CAPEX - SALVAGE,
        cards=GPUS,
        in_service_ns=0,
        end_of_life_ns=5 * 8_760 * NANOSECONDS_PER_HOUR,
        component="capital",
    )
    return rate.nanos_per_ns * NANOSECONDS_PER_HOUR / 10**9


def test_running_cost_has_the_figures_of_the_example() -> None:
    """Maintenance 0.199772, space 0.256849, staff 0.171233; together with capital 1.347032."""
    nothing = dict.fromkeys(RUNNING, Fraction(0))
    alone = {
        "maintenance": nothing | {key: RUNNING[key] for key in ("purchase", "maintenance_ratio")},
        "space": nothing | {key: RUNNING[key] for key in ("space_per_kw_month", "space_kw")},
        "staff": nothing | {"staff_per_year": RUNNING["staff_per_year"]},
    }

    parts = {name: running_per_hour(**given, cards=GPUS) for name, given in alone.items()}

    found = {name: round(float(part), 6) for name, part in parts.items()}
    assert found == {"maintenance": 0.199772, "space": 0.256849, "staff": 0.171233}
    assert sum(parts.values()) == running_per_hour(**RUNNING, cards=GPUS)
    fixed = straight_line_per_hour() + sum(parts.values())
    assert round(float(fixed), 6) == 1.347032
    assert round(float(fixed) + 0.147, 6) == 1.494032


def test_annuity_has_the_figures_of_the_example() -> None:
    """8 %: 65,355.03 a year, 0.932577 for a GPU-hour; monthly 5,256.20 and 0.900035."""
    yearly = annuity_payment(CAPEX, SALVAGE, life_years=LIFE, cost_of_capital=Fraction("0.08"))
    monthly = annuity_payment(
        CAPEX, SALVAGE, life_years=LIFE, cost_of_capital=Fraction("0.08"), payments_per_year=12
    )

    assert float(yearly) == pytest.approx(65_355.03, abs=0.005)
    assert float(yearly / (8_760 * GPUS)) == pytest.approx(0.932577, abs=5e-7)
    assert float(monthly) == pytest.approx(5_256.20, abs=0.005)
    assert float(monthly * 12 / (8_760 * GPUS)) == pytest.approx(0.900035, abs=5e-7)


def test_annuity_without_cost_of_capital_is_the_straight_line() -> None:
    """Exactly, whatever the number of payments."""
    for payments in (1, 12):
        payment = annuity_payment(
            CAPEX,
            SALVAGE,
            life_years=LIFE,
            cost_of_capital=Fraction(0),
            payments_per_year=payments,
        )
        assert payment * payments * 5 == CAPEX - SALVAGE


@pytest.mark.parametrize(
    ("rent", "hours"), [("3.99", 8.6108), ("2.50", 13.9510), ("1.20", 30.4003)]
)
def test_break_even_has_the_figures_of_the_example(rent: str, hours: float) -> None:
    """More than 24 hours a day is never."""
    found = break_even_hours_per_day(
        fixed_per_day=24 * (straight_line_per_hour() + running_per_hour(**RUNNING, cards=GPUS)),
        active_energy_per_hour=Fraction("0.147"),
        idle_energy_per_hour=Fraction("0.04956"),
        rent_per_hour=Fraction(rent),
    )

    assert found is not None
    assert float(found) == pytest.approx(hours, abs=5e-5)


def test_rent_below_the_energy_never_breaks_even() -> None:
    """Each busy hour loses money: there is no number of hours."""
    assert (
        break_even_hours_per_day(
            fixed_per_day=Fraction(1),
            active_energy_per_hour=Fraction("0.2"),
            idle_energy_per_hour=Fraction("0.1"),
            rent_per_hour=Fraction("0.1"),
        )
        is None
    )


def test_forever_lies_beyond_every_life() -> None:
    """A record without an end outlives the next ninety years."""
    assert FOREVER_NS // NANOSECONDS_PER_HOUR // 8_766 + 1970 == 2116
    assert hourly(Fraction(1), "rental").holds(FOREVER_NS - 1)
