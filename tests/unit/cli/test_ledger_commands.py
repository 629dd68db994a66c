"""Commands that read a ledger or work on it."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.ledger.period import month_at
from agent.storage import upkeep
from agent.usage.match import CardMatch
from agent.usage.team import TeamRule
from tests.builders import CARD, OTHER_CARD, SECOND, UTC as UTC_ZONE, a_policy, a_rental
from tests.unit.cli.test_commands import Shell
from tests.unit.report.ledgers import ACTIVE, HELD, IDLE, make, of

BEGIN = "2026-11-02T00:00:00"
PRICED = a_policy(a_rental("2.50", id="hopper"))
UNPRICED = a_policy(a_rental(model="nothing"))
COURSES = {CARD: [of(10, ACTIVE)], OTHER_CARD: [of(4, HELD), of(6, ACTIVE)]}


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


@pytest.fixture
def state(tmp_path: Path) -> str:
    make(tmp_path / "state", PRICED, COURSES, "2026-11-02T00:00:00")
    return str(tmp_path / "state")


@pytest.fixture
def late(tmp_path: Path) -> str:
    make(tmp_path / "late", UNPRICED, COURSES, "2026-11-02T00:00:00")
    return str(tmp_path / "late")


def test_report_sums_ledgers_and_refuses_one_twice(shell: Shell, state: str, late: str) -> None:
    """A directory and a file; the same ledger under two names is one."""
    period = ("--period", "2026-11", "--format", "json")

    _, one, _ = shell.run("report", "--ledger", state, *period)
    _, two, _ = shell.run("report", "--ledger", state, "--ledger", f"{late}/ledger.sqlite", *period)
    code, _, err = shell.run(
        "report", "--ledger", state, "--ledger", f"{state}/ledger.sqlite", *period
    )

    assert json.loads(one)["reports"][0]["total"]["cost"] == "50.000000000"
    assert json.loads(two)["reports"][0]["gpu_hours"] == 40
    assert code == 1
    assert "each may be counted once only" in err


def test_report_of_this_month_looks_ahead(shell: Shell, tmp_path: Path) -> None:
    """60 hours until now of a card at 2.50 by the clock: the forecast is exact, and so is the budget."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    state, fleet = tmp_path / "running", tmp_path / "fleet.yaml"
    begin = now - timedelta(hours=60)
    make(state, PRICED, {CARD: [of(60, ACTIVE)]}, begin.replace(tzinfo=None).isoformat())
    fleet.write_text(
        "budgets: [{name: ours, amount: 3000}, {name: e, amount: 1, scope: {cluster: e}}]"
    )
    month = month_at(int(now.timestamp()) * SECOND, UTC_ZONE)

    _, out, _ = shell.run(
        *("report", "--ledger", str(state), "--format", "json", "--fleet", str(fleet))
    )
    _, table, _ = shell.run("report", "--ledger", str(state), "--fleet", str(fleet))

    (report,) = json.loads(out)["reports"]
    hours = (month.end - max(month.start, int(begin.timestamp()))) / 3_600
    assert float(report["forecast"]["total"]) == pytest.approx(2.5 * hours, abs=1e-6)
    (budget,) = report["budgets"]
    assert budget["forecast"] == report["forecast"]
    burn = 2.5 / (3_000 / ((month.end - month.start) / 3_600))
    assert budget["burn"] == {window: pytest.approx(burn) for window in ("1h", "6h", "3d")}
    assert f"Forecast for {month.label}" in table
    assert "needs --cluster" in table


def test_a_node_that_is_gone_takes_what_was_ahead_along(shell: Shell, tmp_path: Path) -> None:
    """As in the rules: what it spent stays, what it would have cost does not."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for name, uuid, ended in (("alive", CARD, 0), ("gone", OTHER_CARD, 30)):
        begin = now - timedelta(hours=60)
        course = {uuid: [of(60 - ended, ACTIVE)]}
        make(tmp_path / name, PRICED, course, begin.replace(tzinfo=None).isoformat())

    def fixed(*names: str) -> float:
        places = [word for name in names for word in ("--ledger", str(tmp_path / name))]
        _, out, _ = shell.run("report", *places, "--format", "json")
        return float(json.loads(out)["reports"][0]["forecast"]["fixed_ahead"])

    assert fixed("alive", "gone") == fixed("alive") > 0


def test_budgets_are_of_calendar_months(shell: Shell, state: str, tmp_path: Path) -> None:
    """One that is over has what was spent; other periods are refused with the reason."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("budgets: [{name: ours, amount: 100}]")
    words = ("report", "--ledger", state, "--fleet", str(fleet), "--format", "json")

    _, out, _ = shell.run(*words, "--period", "2026-11")
    code, _, err = shell.run(*words, "--period", "2026-11-02")
    fleet.write_text("budgets: [{name: ours}]\nidel: {}\n")
    faulty, _, faults = shell.run(*words, "--period", "2026-11")

    assert json.loads(out)["reports"][0]["budgets"][0]["spent"] == "50.000000000"
    assert code == 2
    assert "give --period like 2026-11" in err
    assert faulty == 2
    assert "budgets[0].amount" in faults
    assert "idel" in faults


def test_report_is_written_to_a_file(shell: Shell, state: str, tmp_path: Path) -> None:
    """In any form; what was written is said beside."""
    target = tmp_path / "report.html"

    code, out, err = shell.run(
        *("report", "--ledger", state, "--period", "2026-11-02", "--by", "day,state"),
        *("--format", "html", "--output", str(target)),
    )

    assert (code, out) == (0, "")
    assert str(target) in err
    assert "50.00 USD" in target.read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--period", "May"), "is no period"),
        (("--by", "colour"), "--by must name some of team, model"),
        (("--by", "team,team"), "each once"),
        (("--invoice", "much"), "is no amount"),
        (("--timezone", "Mars/Base"), "is not an IANA time zone"),
        (("--by", "model", "--share-unallocated", "even"), "--by must name team"),
    ],
)
def test_wrong_use_of_report_is_exit_code_2(
    shell: Shell, state: str, options: tuple[str, ...], words: str
) -> None:
    """With what would be right."""
    chosen = () if "--period" in options else ("--period", "2026-11")

    code, out, err = shell.run("report", "--ledger", state, *chosen, *options)

    assert (code, out) == (2, "")
    assert words in err


def test_a_month_without_a_row_shows_the_cards_that_were_expected(
    shell: Shell, tmp_path: Path
) -> None:
    """A node that is dark all month is 720 hours missing for each card, until the card is retired."""
    state = str(tmp_path / "dark")
    make(tmp_path / "dark", PRICED, COURSES, "2020-10-02T00:00:00")
    words = ("report", "--ledger", state, "--period", "2020-11")

    _, out, _ = shell.run(*words, "--format", "json")
    _, table, _ = shell.run(*words)
    retired = f"currency: USD\nretired_gpus: [{CARD}]\n"
    _, left, _ = shell.with_config(*words, "--format", "json", config=retired)

    (report,) = json.loads(out)["reports"]
    assert report["total"]["cost"] == "0.000000000"
    assert [(c["card"], c["missing_hours"]) for c in report["coverage"]] == [
        (CARD, 720),
        (OTHER_CARD, 720),
    ]
    assert "Coverage:" in table
    assert [c["card"] for c in json.loads(left)["reports"][0]["coverage"]] == [OTHER_CARD]


def test_what_nobody_holds_is_shared_out_on_request(shell: Shell, tmp_path: Path) -> None:
    """A team of two cards, one held by nobody else: it bears the idle card too."""
    policy = a_policy(a_rental("2.00"), teams=[TeamRule("mine", CardMatch(uuid=CARD))])
    make(tmp_path / "state", policy, {CARD: [of(24, ACTIVE)], OTHER_CARD: [of(24, IDLE)]}, BEGIN)
    words = (
        "report",
        "--ledger",
        str(tmp_path / "state"),
        "--period",
        "2026-11",
        "--format",
        "csv",
    )

    code, out, _ = shell.run(*words, "--share-unallocated", "proportional")

    lines = {row["team"]: row for row in csv.DictReader(io.StringIO(out))}
    assert code == 0
    assert lines["mine"]["cost_with_shared_out"] == "96.000000000"
    assert lines["unallocated"]["cost_with_shared_out"] == "0.000000000"


def test_invoice_with_a_decimal_comma_is_wrong_use(shell: Shell, state: str) -> None:
    """Said with what would be right; a credit note is below zero."""
    words = ("report", "--ledger", state, "--period", "2026-11", "--format", "json", "--invoice")

    code, out, err = shell.run(*words, "12.345,67")
    _, credit, _ = shell.run(*words, "-12.50")

    assert (code, out) == (2, "")
    assert "did you mean 12345.67?" in err
    assert json.loads(credit)["invoice"]["difference"] == "-62.500000000"


def test_report_of_nothing_says_so(shell: Shell, state: str) -> None:
    """And compares no invoice with it."""
    code, out, _ = shell.run("report", "--ledger", state, "--period", "2020-01")

    assert (code, out) == (0, "nothing is booked for this period\n")
    assert shell.run("report", "--ledger", state, "--period", "2020-01", "--invoice", "1")[0] == 2


def test_explain_traces_a_number_to_its_rows(shell: Shell, state: str) -> None:
    """The sum of the rows is the number of the report."""
    _, report, _ = shell.run(
        *("report", "--ledger", state, "--period", "2026-11", "--by", "state", "--format", "json")
    )
    held = next(
        group
        for group in json.loads(report)["reports"][0]["groups"]
        if group["names"]["state"] == "held"
    )

    code, out, _ = shell.run(
        *("explain", "--ledger", state, "--period", "2026-11", "--state", "held", "--all")
    )

    first, *rows = out.splitlines()
    assert code == 0
    assert first == f"2026-11: {float(held['cost']):.9f} USD in {len(rows)} rows"
    rental = [row for row in rows if "  rental  hopper  1.000000 h  2.500000000" in row]
    assert len(rental) == 4
    assert rental[0].strip().startswith("2026-11-02 00:00+0000")


def test_explain_of_nothing_is_exit_code_1(shell: Shell, state: str) -> None:
    """So that a script notices."""
    assert shell.run("explain", "--ledger", state, "--period", "2026-11", "--team", "x")[0] == 1


def test_explain_cuts_many_rows_short(shell: Shell, tmp_path: Path) -> None:
    """50 hours of rental and energy are 100 rows: 40 are shown unless all are asked for."""
    make(tmp_path / "long", PRICED, {CARD: [of(50, ACTIVE)]}, "2026-11-02T00:00:00")

    _, out, _ = shell.run(*("explain", "--ledger", str(tmp_path / "long"), "--period", "2026-11"))

    assert len(out.splitlines()) == 42
    assert out.splitlines()[-1] == "  and 60 rows more: --all"


def test_verify_and_backup(shell: Shell, state: str, tmp_path: Path) -> None:
    """Good is 0; a target that exists is left alone."""
    assert shell.run("ledger", "verify", state)[:2] == (0, f"{state}: good\n")
    target = str(tmp_path / "copy")
    assert shell.run("ledger", "backup", target, "--state-directory", state)[0] == 0
    assert shell.run("ledger", "backup", target, "--state-directory", state)[0] == 1
    code, out, _ = shell.run("ledger", "verify", target, "--json")
    assert (code, json.loads(out)["findings"]) == (0, [])


def test_reprice_says_what_it_would_do_and_does_it(shell: Shell, late: str) -> None:
    """20 hours at 2.50, under a reason; then there is nothing more to do."""
    command = ("ledger", "reprice", "--state-directory", late, "--reason", "late contract")

    tried = shell.with_config(*command, "--dry-run")
    done = shell.with_config(*command, "--from", "2026-11-02", "--to", "2026-11-03")
    again = shell.with_config(*command)
    _, report, _ = shell.run("report", "--ledger", late, "--period", "2026-11")

    assert "rows would be added" in tried[1]
    assert "2026-11 rental hopper: +50.00 USD" in tried[1]
    assert done[1].splitlines()[1:] == tried[1].splitlines()[1:]
    assert again[1] == "0 rows were added\n"
    assert "correction 1: late contract" in report


def test_reprice_says_what_it_left_alone(shell: Shell, late: str, tmp_path: Path) -> None:
    """Ids without a record are named; another machine's ledger needs a word."""
    state = tmp_path / "tidied"
    make(state, a_policy(a_rental("2.50", id="tidied")), COURSES, "2026-11-02T00:00:00")
    command = ("ledger", "reprice", "--reason", "r", "--state-directory")

    code, out, _ = shell.with_config(*command, str(state))
    taken = shell.with_config(*command, str(state), "--dry-run", "--also-removed")[1]
    upkeep.take_over(Path(late), "another")
    refused = shell.with_config(*command, late)
    meant = shell.with_config(*command, late, "--other-machine")

    assert (code, out.splitlines()[0]) == (0, "0 rows were added")
    assert "no record of their ids: tidied (" in out
    assert "tidied: -50.00 USD" in taken
    assert refused[0] == 1
    assert "another machine" in refused[2]
    assert "rows were added" in meant[1]


def test_reports_say_whose_days_compacted_rows_stand_for(shell: Shell, state: str) -> None:
    """In the zone of the compaction days are right; in another it is said that they are not."""
    place, later = ("--state-directory", state), datetime(2028, 1, 1, tzinfo=UTC)
    upkeep.compact(Path(state), int(later.timestamp()), ZoneInfo("America/New_York"))
    day = ("report", "--ledger", state, "--period", "2026-11-02")

    said = shell.run(*day, "--timezone", "Europe/Berlin")[2]
    right = shell.run(*day, "--timezone", "America/New_York")
    month = shell.run("report", "--ledger", state, "--period", "2026-11", "--by", "team")

    assert "give --timezone America/New_York" in said
    assert right[2] == month[2] == ""
    assert "days of America/New_York" in shell.run("ledger", "compact", *place)[1]
    assert shell.run("ledger", "compact", *place, "--timezone", "Mars/Base")[0] == 2


def test_compact_and_drop(shell: Shell, state: str) -> None:
    """Rows become fewer, the money stays; a month that is none is wrong use."""
    place = ("--state-directory", state)
    assert "rows became" in shell.run("ledger", "compact", *place)[1]
    assert shell.run("ledger", "compact", *place, "--drop-before", "soon")[0] == 2
    assert (
        "0 rows of months before 2020-01"
        in (shell.run("ledger", "compact", *place, "--drop-before", "2020-01")[1])
    )


def test_inventory_lists_and_retires(shell: Shell, state: str) -> None:
    """A retired card stands apart, and comes back when that is undone."""
    place = ("--state-directory", state)

    assert CARD in shell.run("inventory", "list", *place)[1]
    assert shell.run("inventory", "retire", CARD, *place)[1] == f"{CARD}: retired\n"
    assert "retired already" in shell.run("inventory", "retire", CARD, *place)[1]
    listed = json.loads(shell.run("inventory", "list", *place, "--json")[1])
    assert [card["uuid"] for card in listed["expected"]] == [OTHER_CARD]
    assert [card["uuid"] for card in listed["retired"]] == [CARD]
    assert shell.run("inventory", "retire", CARD, *place, "--undo")[0] == 0
    assert shell.run("inventory", "retire", CARD, *place, "--undo")[0] == 1


def test_no_ledger_is_exit_code_1(shell: Shell, tmp_path: Path) -> None:
    """Named by its path, for every command."""
    nowhere = str(tmp_path / "nowhere")
    for words in (
        ("ledger", "verify", nowhere),
        ("ledger", "compact", "--state-directory", nowhere),
        ("inventory", "list", "--state-directory", nowhere),
        ("report", "--ledger", nowhere),
        ("explain", "--ledger", nowhere),
    ):
        code, _, err = shell.run(*words)
        assert code == 1
        assert "there is no ledger" in err
