"""The command line: exit codes, and what goes where."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.catalog import CATALOG
from agent.cli import main
from agent.storage.ledger import SqliteLedger
from tests.builders import CARD, MODEL

ROOT = Path(__file__).parents[3]
GOOD = """
currency: USD
teams:
  - {team: research, match: {model: "*H100*"}}
prices:
  - {id: hopper, kind: rented, match: {model: "*H100*"}, price_per_gpu_hour: 2.5, source: contract}
  - {id: mine, kind: rented, match: {uuid: GPU-00000000-0000-0000-0000-000000000000},
     price_per_gpu_hour: 1.25, valid_from: 2026-01-01, valid_to: 2026-02-01}
"""
WRONG = "currency: usd\nintervals: 1\n"


class Shell:
    """Runs the command in this process as a shell would."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config = directory / "config.yaml"
        self._directory = directory
        self._capsys = capsys

    def run(self, *words: str, config: str = GOOD) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)."""
        self.config.write_text(config)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["gpufin", *words])
            with pytest.raises(SystemExit) as caught:
                main()
        code = caught.value.code
        assert isinstance(code, int)
        return code, *self._capsys.readouterr()

    def with_config(self, *words: str, config: str = GOOD) -> tuple[int, str, str]:
        return self.run(*words, "--config", str(self.config), config=config)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


@pytest.mark.parametrize("command", ["check-config", "explain-price", "run", "demo"])
def test_bad_configuration_is_exit_code_2(shell: Shell, command: str) -> None:
    """Every command that reads it: all faults on stderr, nothing on stdout."""
    code, out, err = shell.with_config(command, config=WRONG)

    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"gpufin: {shell.config}: ") for line in lines)


def test_bad_configuration_in_a_real_process(tmp_path: Path) -> None:
    """``python -m agent`` does the same as the command, without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", "check-config", "--config", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"gpufin: {tmp_path}: cannot be read: Is a directory\n"


def test_check_config_says_good_and_what_does_not_hold_today(shell: Shell) -> None:
    """A record that has ended is no fault, but worth a note."""
    code, out, err = shell.with_config("check-config")

    assert (code, err) == (0, "")
    assert "good: 2 price records in USD" in out
    assert "note: mine does not hold today (from 2026-01-01" in out


EUROS = """
currency: USD
exchange_rates: [{currency: EUR, rate: 1.1, valid_to: 2026-02-01}]
prices:
  - {id: euros, kind: rented, match: {model: "*H100*"}, price_per_gpu_hour: 2, currency: EUR}
  - {id: mine, kind: rented, match: {uuid: GPU-00000000-0000-0000-0000-000000000000},
     price_per_gpu_hour: 2, currency: EUR}
"""


def test_record_without_an_exchange_rate_is_told(shell: Shell) -> None:
    """A note of check-config; explain-price says that the record holds, and that it prices nothing."""
    _, checked, _ = shell.with_config("check-config", config=EUROS)
    code, explained, _ = shell.with_config(
        "explain-price", "--uuid", CARD, "--model", MODEL, "--at", "2026-02-01", config=EUROS
    )

    assert "good: 2 price records in USD" in checked
    assert checked.count("note: euros is unpriced today: no exchange rate for EUR") == 1
    assert "does not hold" not in checked
    assert code == 1
    assert "  unpriced: no record prices it" in explained
    assert "mine: holds, and is unpriced: no exchange rate for EUR" in explained
    assert "euros: no, mine names the card more closely" in explained


def test_check_config_notes_that_there_are_no_prices(shell: Shell) -> None:
    """Good as it is: everything will be unpriced."""
    code, out, _ = shell.with_config("check-config", config="currency: USD\n")

    assert code == 0
    assert "no prices" in out


def test_schema_is_json_schema_of_the_file(shell: Shell) -> None:
    """Editors check the file against it; it needs no file itself."""
    code, out, _ = shell.run("check-config", "--schema")

    assert code == 0
    assert json.loads(out)["additionalProperties"] is False


def test_explain_price_says_which_record_holds_and_why(shell: Shell) -> None:
    """The record, its price, the team, and for each other record why not."""
    code, out, _ = shell.with_config("explain-price", "--model", MODEL)

    assert code == 0
    assert "2.500000 USD an hour by hopper" in out
    assert "given to team research" in out
    assert "hopper: yes, model *H100*, on_demand, valid since ever without end; contract" in out
    assert "mine: no, uuid must be GPU-0" in out


def test_explain_price_at_a_moment_takes_the_record_of_the_card(shell: Shell) -> None:
    """In January the card's own record holds; from February it is that of its model again."""
    asked = ["explain-price", "--uuid", CARD, "--model", MODEL, "--json", "--at"]

    january = json.loads(shell.with_config(*asked, "2026-01-31T23:59:59")[1])
    february = json.loads(shell.with_config(*asked, "2026-02-01")[1])

    assert [each["price_id"] for each in january] == ["mine"]
    assert january[0]["per_hour"] == 1.25
    assert "mine names the card more closely" in january[0]["why"][0]
    assert [each["price_id"] for each in february] == ["hopper"]


def test_explain_price_of_an_unpriced_card_is_exit_code_1(shell: Shell) -> None:
    """A script can ask whether a card has a price."""
    code, out, _ = shell.with_config("explain-price", "--model", "Tesla T4")

    assert code == 1
    assert "unpriced" in out


def test_metrics_lists_the_catalogue(shell: Shell) -> None:
    """For people, for machines, and as the reference page."""
    text, data, page = (
        shell.run("metrics", *options)[1] for options in ([], ["--json"], ["--markdown"])
    )

    for metric in CATALOG:
        assert metric.name in text
        assert f"| `{metric.name}` | {metric.kind} |" in page
    assert [metric["name"] for metric in json.loads(data)] == [metric.name for metric in CATALOG]


@pytest.mark.parametrize("words", [["nonsense"], ["run", "--nonsense"], ["demo", "--cards", "0"]])
def test_wrong_use_is_exit_code_2(shell: Shell, words: list[str]) -> None:
    """With the usage on stderr."""
    code, out, err = shell.run(*words)

    assert (code, out) == (2, "")
    assert "Usage" in err


@pytest.mark.parametrize(
    "listen", ["9776", "host:port", ":1", "127.0.0.1:²", "h:99999", "h:" + "1" * 5000]
)
def test_wrong_listen_address_is_exit_code_2(shell: Shell, listen: str) -> None:
    """The option is checked like the key."""
    code, out, err = shell.with_config("run", "--listen", listen)

    assert (code, out) == (2, "")
    assert "--listen: must be HOST:PORT" in err


def test_state_directory_in_use_is_exit_code_1(shell: Shell, tmp_path: Path) -> None:
    """One line says that another agent writes there."""
    store = SqliteLedger(tmp_path / "state", source="simulated")

    code, out, err = shell.run(
        "demo", "--state-directory", str(tmp_path / "state"), "--listen", "127.0.0.1:0"
    )
    store.close()

    assert (code, out) == (1, "")
    assert err.splitlines()[-1].endswith("another gpufin writes here already")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "-h"]])
def test_help_is_exit_code_0(shell: Shell, words: list[str]) -> None:
    """On stdout."""
    code, out, _ = shell.run(*words)

    assert code == 0
    assert out
