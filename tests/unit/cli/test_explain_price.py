"""``gpufin explain-price``: figures of the examples, said with what they leave out."""

import json
from pathlib import Path

import pytest

from tests.builders import MODEL
from tests.unit.cli.test_commands import GOOD, Shell

SERVER = """
currency: USD
prices:
  - {id: server, kind: owned, match: {model: "*"}, purchase_price: 280000, salvage_value: 28000, cards: 8,
     in_service: 2096-03-01, life_years: 5, maintenance_ratio_per_year: 0.05,
     space_price_per_kilowatt_month: 150, space_kilowatts: 10, staff_price_per_year: 12000,
     host_watts_per_gpu: 175}
electricity: [{id: flat, price_per_kilowatt_hour: 0.12, pue: 1.4}]
"""
"""The server of the examples, in five years without a leap day: 8,760 hours each."""
ANNUITY = SERVER.replace(
    "host_watts", "depreciation: annuity, cost_of_capital_ratio: 0.08, host_watts"
)
ASKED = ("explain-price", "--model", MODEL, "--at", "2097-01-01")
DRAWN = ("--watts", "700", "--idle-watts", "120")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


@pytest.mark.parametrize(
    ("utilization", "used"), [("0.6", "2.490053"), ("0.25", "5.976128"), ("1", "1.494032")]
)
def test_hour_of_work_has_the_figures_of_the_example(
    shell: Shell, utilization: str, used: str
) -> None:
    """1.347032 and 0.147 for 700 W and the host's 175 W; what nobody uses is borne by what is used."""
    words = (*ASKED, "--watts", "700", "--utilization", utilization)

    code, out, _ = shell.with_config(*words, config=SERVER)
    (found,) = json.loads(shell.with_config(*words, "--json", config=SERVER)[1])

    assert code == 0
    assert "  1.347032 USD an hour by server; electricity on top: 0.12 USD/kWh (flat)" in out
    assert "  0.147000 USD an hour of electricity at 700 W, 1.494032 together\n" in out
    assert f"  {used} USD for an hour of work at {float(utilization):.0%} utilisation\n" in out
    names = ("per_hour", "energy_per_hour", "total_per_hour", "per_used_hour")
    assert [f"{found[name]:.6f}" for name in names] == ["1.347032", "0.147000", "1.494032", used]
    assert found["break_even"] is None


def test_hour_of_work_without_its_electricity_says_so(shell: Shell) -> None:
    """Not known without the watts of the card, or without a tariff."""
    words = (*ASKED, "--utilization", "0.6")
    untold = SERVER.replace("pue: 1.4", "pue: 1.4, valid_to: 2050-01-01")

    _, out, _ = shell.with_config(*words, config=SERVER)
    (found,) = json.loads(shell.with_config(*words, "--json", config=SERVER)[1])
    _, without, _ = shell.with_config(*words, *DRAWN, "--rent", "3.99", config=untold)

    assert "2.245053 USD for an hour of work at 60% utilisation, without its electricity: " in out
    assert "give --watts" in out
    assert (found["energy_per_hour"], found["total_per_hour"]) == (None, None)
    assert (
        "2.245053 USD for an hour of work at 60% utilisation, without its electricity\n" in without
    )
    assert "without a tariff it cannot be compared with renting at 3.99" in without


def test_a_rental_contains_its_electricity(shell: Shell) -> None:
    """2.50 an hour are 5.00 for an hour of work at half the time, whatever it draws."""
    words = ("explain-price", "--model", MODEL, *DRAWN, "--utilization", "0.5", "--rent", "2")

    _, out, _ = shell.with_config(*words, config=GOOD)
    (found,) = json.loads(shell.with_config(*words, "--json", config=GOOD)[1])

    assert "  5.000000 USD for an hour of work at 50% utilisation\n" in out
    assert "is rented: only an owned card is compared with renting at 2" in out
    assert (found["total_per_hour"], found["per_used_hour"]) == (2.5, 5)
    assert found["break_even"] is None


@pytest.mark.parametrize(
    ("config", "rent", "said", "hours", "never"),
    [
        (
            SERVER,
            "3.99",
            "cheaper than renting at 3.99 from 8.6108 busy hours a day on",
            8.6108,
            False,
        ),
        (SERVER, "2.50", "cheaper than renting at 2.5 from 13.9510 busy hours", 13.9510, False),
        (
            SERVER,
            "1.20",
            "never cheaper than renting at 1.2: that would take 30.4003",
            30.4003,
            True,
        ),
        (
            SERVER,
            "0.05",
            "never cheaper than renting at 0.05: each busy hour costs more",
            None,
            True,
        ),
        (ANNUITY, "3.99", "cheaper than renting at 3.99 from 9.9266 busy hours", 9.9266, False),
    ],
)
def test_break_even_has_the_figures_of_the_example(
    shell: Shell, config: str, rent: str, said: str, hours: float | None, never: bool
) -> None:
    """From so many busy hours a day on the owned card is cheaper; more than 24 are never."""
    words = (*ASKED, *DRAWN, "--rent", rent)

    _, out, _ = shell.with_config(*words, config=config)
    (found,) = json.loads(shell.with_config(*words, "--json", config=config)[1])

    assert f"  {said}" in out
    assert found["break_even"]["never"] is never
    told = found["break_even"]["hours_per_day"]
    assert told is None if hours is None else told == pytest.approx(hours, abs=5e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rent", "3.99"), "--rent needs --watts and --idle-watts"),
        (("--rent", "3.99", "--watts", "700"), "--rent needs --watts and --idle-watts"),
        (("--idle-watts", "3"), "--rent needs --watts and --idle-watts"),
        (("--watts", "nan"), "nan is no number"),
        (("--watts", "-1"), "not in the range"),
        (("--rent", "0", *DRAWN), "not in the range"),
        (("--utilization", "nan"), "nan is no number"),
        (("--utilization", "0"), "not in the range"),
    ],
)
def test_wrong_use_is_exit_code_2(shell: Shell, options: tuple[str, ...], words: str) -> None:
    """Said with what would be right."""
    code, out, err = shell.with_config(*ASKED, *options, config=SERVER)

    assert (code, out) == (2, "")
    assert words in err
