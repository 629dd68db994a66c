"""Wrong configurations: every fault at once, each with its place and what would be right."""

from pathlib import Path

import pytest

from agent.config.decode import load_settings
from agent.config.load import MAX_FILE_BYTES
from agent.errors import ConfigError
from tests.builders import SECOND

RENTED = """
prices:
  - id: a
    kind: rented
    match: {model: "*"}
    price_per_gpu_hour: 2.5
"""
OWNED = """
electricity: [{price_per_kilowatt_hour: 0.12, pue: 1.4}]
prices:
  - id: a
    kind: owned
    match: {model: "*"}
    purchase_price: 280000
    salvage_value: 28000
    cards: 8
    in_service: 2026-01-01
    life_years: 5
"""
UUID = "GPU-00000000-0000-0000-0000-000000000000"


def faults_of(path: Path) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert caught.value.faults
    assert {fault.file for fault in caught.value.faults} == {str(path)}
    return [(fault.key, fault.problem) for fault in caught.value.faults]


def faults(tmp_path: Path, text: str | bytes) -> list[tuple[str, str]]:
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return faults_of(path)


def usd(text: str) -> str:
    return "currency: USD\n" + text


def rented(line: str, *, instead_of: str = "") -> str:
    text = RENTED.replace(instead_of, "") if instead_of else RENTED
    return usd(text + f"    {line}\n")


def owned(old: str, new: str) -> str:
    assert old in OWNED
    return usd(OWNED.replace(old, new))


PRICE = "    price_per_gpu_hour: 2.5\n"
MATCH = '    match: {model: "*"}\n'
BAND = """
electricity:
  - price_per_kilowatt_hour: 1
    pue: 1
    bands: [{{name: peak, price_per_kilowatt_hour: 2, from: {}}}]
"""
WRONG = [
    # keys
    ("timzone: UTC\n", "timzone", "did you mean timezone"),
    ("colour: red\n", "colour", "known here: activity, carbon, currency"),
    ("activity: {idle_after: 60}\n", "activity.idle_after", "did you mean idle_after_seconds"),
    ("owned: {}\n", "owned", "unknown key"),
    ("date: 2026-01-01\n", "date", "unknown key"),
    ('"prices[0]": 1\n', "prices[0]", "unknown key"),
    ("1: 2\n", "[1]", "must be text"),
    (
        rented("purchase_price: 5"),
        "prices[0].purchase_price",
        "known here: cards_per_",
    ),
    (rented("life_yers: 5"), "prices[0].life_yers", "known here"),
    (
        owned("cards: 8", "cards: 8\n    salvage: 1"),
        "prices[0].salvage",
        "did you mean salvage_value",
    ),
    (
        rented("", instead_of=PRICE),
        "prices[0]",
        "exactly one of price_per_gpu_hour and price_per_inst",
    ),
    (rented("", instead_of=MATCH), "prices[0].match", "is missing"),
    (rented("", instead_of="    kind: rented\n"), "prices[0]", "kind is missing: rented or owned"),
    (owned("kind: owned", "kind: leased"), "prices[0]", "must be rented or owned"),
    # types
    ("listen: 9776\n", "listen", "must be text: put it in quotes (it is 9776)"),
    ("interval_seconds: yes\n", "interval_seconds", "must be a number, not true or false"),
    ("interval_seconds: fast\n", "interval_seconds", "must be a number (it is 'fast')"),
    ("interval_seconds: .nan\n", "interval_seconds", "less than or equal to"),
    ("flush_seconds: .inf\n", "flush_seconds", "less than or equal to"),
    ("interval_seconds: 0\n", "interval_seconds", "greater than or equal to 0.1"),
    ("activity: {active_percent: true}\n", "activity.active_percent", "not true or false"),
    ("activity: {active_percent: 4.5}\n", "activity.active_percent", "must be a whole number"),
    ("prices: {a: 1}\n", "prices", "must be a list"),
    ("prices: [x]\n", "prices[0]", "must be a mapping"),
    ("prices: &a [*a]\n", "prices[0]", "must be a mapping"),
    ("activity: 5\n", "activity", "must be a mapping"),
    ("source: amd\n", "source", "'nvml' or 'simulated'"),
    (owned("cards: 8", "cards: true"), "prices[0].cards", "not true or false"),
    # values
    ("timezone: Europe/Berln\n", "timezone", "not an IANA time zone; such as UTC, Europe/Berlin"),
    ("timezone: ../../etc/passwd\n", "timezone", "not an IANA time zone"),
    ("timezone: Europe\n", "timezone", "not an IANA time zone"),
    ('timezone: ""\n', "timezone", "not an IANA time zone"),
    ("listen: 127.0.0.1:70000\n", "listen", "1 to 65535"),
    ("listen: 127.0.0.1\n", "listen", "must be: "),
    ("retired_gpus: [H100]\n", "retired_gpus[0]", "nvidia-smi -L"),
    ("teams: [{team: unallocated, match: {model: x}}]\n", "teams[0].team", "gpufin uses itself"),
    ('teams: [{team: "", match: {model: x}}]\n', "teams[0].team", "must be: "),
    ("electricity: [{price_per_kilowatt_hour: 1, pue: 0.9}]\n", "electricity[0].pue", "equal to 1"),
    ("electricity: [{price_per_kilowatt_hour: -1, pue: 1}]\n", "electricity[0].price_per_", "to 0"),
    (BAND.format("15"), "electricity[0].bands[0].from", "must be a time of day such as 16:00"),
    (BAND.format("16:10"), "electricity[0].bands[0].from", "on a quarter of an hour"),
    (BAND.format("24:15"), "electricity[0].bands[0].from", "must be 00:00 to 24:00"),
    # prices
    (rented("price_per_gpu_hour: -2", instead_of=PRICE), ".price_per_gpu_hour", "greater than 0"),
    (rented("price_per_gpu_hour: .nan", instead_of=PRICE), ".price_per_gpu_hour", "finite"),
    (rented("price_per_gpu_hour: .inf", instead_of=PRICE), ".price_per_gpu_hour", "finite"),
    (rented("price_per_gpu_hour: true", instead_of=PRICE), ".price_per_gpu_hour", "true or false"),
    (
        rented("price_per_gpu_hour: two", instead_of=PRICE),
        ".price_per_gpu_hour",
        "must be a number",
    ),
    (
        rented("price_per_gpu_hour: 010", instead_of=PRICE),
        ".price_per_gpu_hour",
        "leading zero, which can mean octal: write 10 (it is '010')",
    ),
    (
        rented("price_per_gpu_hour: 1:30", instead_of=PRICE),
        ".price_per_gpu_hour",
        "must be a number",
    ),
    (
        rented("price_per_gpu_hour: 1:30.5", instead_of=PRICE),
        ".price_per_gpu_hour",
        "must be a number",
    ),
    (
        rented("price_per_gpu_hour: 0x10", instead_of=PRICE),
        ".price_per_gpu_hour",
        "must be a number",
    ),
    (owned("cards: 8", "cards: 010"), "prices[0].cards", "write 10 (it is '010')"),
    ("interval_seconds: 01\n", "interval_seconds", "write 1 (it is '01')"),
    ("flush_seconds: 1:30\n", "flush_seconds", "must be a number"),
    (rented("price_per_gpu_hour: 1_825", instead_of=PRICE), ".price_per_gpu_hour", "a month"),
    (rented("price_per_gpu_hour: 250", instead_of=PRICE), ".price_per_gpu_hour", "in cents"),
    (rented('price_per_gpu_hour: "1e99999"', instead_of=PRICE), ".price_per_gpu_hour", "less than"),
    # amounts that a ledger could not hold
    (
        rented('price_per_gpu_hour: "1e-5000"', instead_of=PRICE),
        ".price_per_gpu_hour",
        "no more than 18 decimal places (it is '1e-5000')",
    ),
    (rented('discount_ratio: "1e-3000000"'), ".discount_ratio", "no more than 18 decimal places"),
    (owned("0.12", '"1e-9999999"'), "electricity[0].price_per_kilowatt_hour", "18 decimal places"),
    (owned("0.12", "10000001"), "electricity[0].price_per_kilowatt_hour", "equal to 10000000"),
    (owned("pue: 1.4", 'pue: "1.4e0000000000000000000000001"'), "electricity[0].pue", "equal to 3"),
    (owned("280000", '"1e30"'), "prices[0].purchase_price", "less than or equal to 10000000"),
    (owned("life_years: 5", "life_years: '5.0000001234567890123'"), ".life_years", "18 decimal"),
    (
        owned(
            "life_years: 5",
            "life_years: 5\n    depreciation: annuity\n    cost_of_capital_ratio: 0.0000001",
        ),
        ".cost_of_capital_ratio",
        "no more than 6 decimal places",
    ),
    (
        rented("price_per_gpu_hour: 1000000000000000", instead_of=PRICE).replace("USD", "JPY"),
        "prices[0].price_per_gpu_hour",
        "comes to 1e+15 JPY for one GPU-hour, and the ledger's amounts reach to 100,000,000",
    ),
    (
        owned("280000", "1000000000000000").replace("USD", "JPY"),
        "prices[0].purchase_price",
        "comes to 2.85232e+09 JPY for one GPU-hour",
    ),
    (
        rented("currency: JPY") + 'exchange_rates: [{currency: JPY, rate: "4.1e+7"}]\n',
        "prices[0].price_per_gpu_hour",
        "comes to 1.025e+08 USD for one GPU-hour",
    ),
    (
        rented("currency: JPY") + 'exchange_rates: [{currency: JPY, rate: "1e-2000000"}]\n',
        "exchange_rates[0].rate",
        "18 decimal places",
    ),
    (rented("match: {}", instead_of=MATCH), "prices[0].match", "give uuid, model or mig_profile"),
    (
        rented(f"match: {{uuid: {UUID}, model: x}}", instead_of=MATCH),
        "prices[0].match",
        "a uuid names one card",
    ),
    (rented("match: {uuid: GPU-1}", instead_of=MATCH), "prices[0].match.uuid", "nvidia-smi -L"),
    (rented('match: {model: "H[12]00"}', instead_of=MATCH), "prices[0].match.model", "`*` stands"),
    (
        rented("currency: EUR"),
        "prices[0].currency",
        "is EUR, this file's is USD, and exchange_rates has no",
    ),
    (rented("discount_ratio: 15"), "prices[0].discount_ratio", "less than 1"),
    (rented("id: ''", instead_of="id: a\n    "), "prices[0].id", "must be: "),
    (owned("salvage_value: 28000", "salvage_value: 280000"), "prices[0]", "must be below"),
    (owned("life_years: 5", "life_years: 1.0e-15"), "prices[0].life_years", "equal to 0.1"),
    (owned("280000", "1000"), "prices[0]", "salvage_value must be below"),
    (usd(OWNED.replace("electricity:", "teams: []\n#")), "electricity", "is missing: owned cards"),
    # moments
    (rented("valid_from: 2026"), "prices[0].valid_from", "must be a date such as 2026-01-31"),
    (rented("valid_from: soon"), "prices[0].valid_from", "must be a date such as 2026-01-31"),
    (rented("valid_from: yes"), "prices[0].valid_from", "must be a date such as 2026-01-31"),
    (rented("valid_to: 9999-12-31"), "prices[0].valid_to", "without an end has no valid_to"),
    (rented("valid_from: 0001-01-01"), "prices[0].valid_from", "must lie in 1971 to 2099"),
    (
        rented("valid_from: 2026-02-01\n    valid_to: 2026-02-01"),
        "prices[0].valid_to",
        "must be later than valid_from",
    ),
    (owned("2026-01-01", "9999-01-01"), "prices[0].in_service", "must lie in 1971 to 2099"),
    # records together
    (rented("") + RENTED.replace("\nprices:\n", ""), "prices[1].id", "used by an earlier record"),
    (
        rented("") + RENTED.replace("\nprices:\n", "").replace("id: a", "id: b"),
        "prices",
        "a and b hold for the same cards at the same time; end one with valid_to",
    ),
]


@pytest.mark.parametrize(("text", "key", "problem"), WRONG, ids=lambda value: str(value)[-40:])
def test_wrong_configuration_names_key_and_remedy(
    tmp_path: Path, text: str, key: str, problem: str
) -> None:
    """One fault, at its place, in words that help."""
    found = faults(tmp_path, text if text.startswith("currency") else usd(text))

    assert len(found) == 1
    assert key in found[0][0]
    assert problem in found[0][1]


@pytest.mark.parametrize("written", ["16:00", '"16:00"', "06:00", "6:00"])
def test_times_of_day_need_no_quotes(tmp_path: Path, written: str) -> None:
    """YAML 1.1 would make a number of some of them."""
    path = tmp_path / "config.yaml"
    path.write_text(usd(BAND.format(written)))
    hour = int(written.strip('"').split(":")[0])

    (tariff,) = load_settings(path).policy.table.tariffs

    prices = [tariff.at(minute * 60 * SECOND).per_kwh for minute in (hour * 60 - 1, hour * 60)]
    assert prices == [1, 2]


@pytest.mark.parametrize(
    ("content", "key", "problem"),
    [
        (b"", "", "mapping"),
        (b"# nothing\n", "", "mapping"),
        (b"- a\n- b\n", "", "mapping"),
        (b"just words\n", "", "mapping"),
        (b"currency: USD\n{", "line 2", "not YAML"),
        (b"currency: USD\ncurrency: EUR\n", "line 2, column 1", "stands twice"),
        (b"currency: USD\nactivity: {a: 1, a: 2}\n", "line 2", "the key a stands twice"),
        (b"currency:\tUSD\n", "line 1", "not YAML"),
        (b"? [a]\n: b\n", "line 1", "not YAML"),
        (b"currency: \x00\n", "", "not YAML"),
        (b"currency: \xff\xfe\n", "", "not YAML"),
        (b"\x89PNG\r\n\x1a\n", "", "not YAML"),
        (b"x: !!python/object/apply:os.system [true]\n", "line 1", "not YAML"),
        (b"currency: USD\n---\ncurrency: USD\n", "line 2", "not YAML"),
        (b"a: " + b"9" * 5_000, "", "not YAML"),
        (b"[" * 3_000, "", "not YAML"),
        (b"a: *nowhere\n", "line 1", "not YAML"),
        (b"#" * (MAX_FILE_BYTES + 1), "", "larger than"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_file_that_is_no_configuration_is_one_fault(
    tmp_path: Path, content: bytes, key: str, problem: str
) -> None:
    """Whatever the bytes are: one fault of the file, with the line where there is one."""
    found = faults(tmp_path, content)

    assert len(found) == 1
    assert found[0][0].startswith(key)
    assert problem in found[0][1]


def test_yaml_bomb_is_answered_quickly(tmp_path: Path) -> None:
    """Aliases of aliases stay references; each unknown key is a fault."""
    layers = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    layers += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    ]

    found = faults(tmp_path, usd("\n".join(layers) + "\n"))

    assert [key for key, _ in found] == list("abcdefghij")


def test_merge_keys_are_refused_before_they_multiply(tmp_path: Path) -> None:
    """Nine layers of nine merges each would be 400 million; each place is named."""
    layers = ["a: &a {x: 1}"]
    layers += [
        f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}"
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    ]

    found = faults(tmp_path, usd("\n".join([*layers, "gaps: {<<: *a, max_fill_seconds: 2}"])))

    assert [key for key, _ in found] == ["gaps.<<", *"abcdefghij"]
    assert found[0][1] == "merge keys are not read: write the keys out"
    assert faults(tmp_path, usd("gaps: {? !!merge x : {}}\n"))[0][0].startswith("line 2")


def test_directory_instead_of_a_file_is_named(tmp_path: Path) -> None:
    """The reason is the system's own."""
    assert faults_of(tmp_path) == [("", "cannot be read: Is a directory")]


def test_missing_file_is_named(tmp_path: Path) -> None:
    """So is a path with nothing behind it, also beyond a file."""
    (tmp_path / "file").write_text("")

    assert faults_of(tmp_path / "none") == [("", "cannot be read: No such file or directory")]
    assert faults_of(tmp_path / "file/none") == [("", "cannot be read: Not a directory")]
    assert faults_of(tmp_path / ("x" * 300)) == [("", "cannot be read: File name too long")]


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    """The operator corrects the file once, not once per fault."""
    text = """
currency: usd
timezone: Mars
interval_secs: 1
activity: {active_percent: 0}
prices:
  - {id: a, kind: rented, match: {model: "*"}, price_per_gpu_hour: -1}
  - {id: b, kind: owned, match: {}, purchase_price: 1}
teams: [{team: _other, match: {model: "*"}}]
"""

    keys = {key for key, _ in faults(tmp_path, text)}

    assert keys == {
        "currency",
        "timezone",
        "interval_secs",
        "activity.active_percent",
        "prices[0].price_per_gpu_hour",
        "prices[1].match",
        "prices[1].cards",
        "prices[1].in_service",
        "prices[1].life_years",
        "teams[0].team",
    }


def test_every_fault_between_records_is_named_at_once(tmp_path: Path) -> None:
    """Ids, currencies, ranges, ports and a missing tariff stand in one answer."""
    text = usd(
        "listen: 127.0.0.1:0\n"
        + OWNED.replace("electricity:", "#")
        + RENTED.replace("\nprices:\n", "").replace("2.5", "2500\n    currency: EUR")
    )

    keys = {key for key, _ in faults(tmp_path, text)}

    assert keys == {
        "listen",
        "electricity",
        "prices[1].id",
        "prices[1].currency",
        "prices[1].price_per_gpu_hour",
    }


def test_a_fault_in_one_key_hides_none_between_others(tmp_path: Path) -> None:
    """A wrong zone, and two records that one would find only after it."""
    text = """
timezone: Berlin
prices:
  - {id: a, kind: rented, match: {model: "NVIDIA H100*"}, price_per_gpu_hour: 250}
  - {id: a, kind: rented, match: {model: "NVIDIA H200*"}, price_per_gpu_hour: "2,50"}
  - {id: a, kind: rented, match: {model: "NVIDIA H200*"}, price_per_gpu_hour: 2.50}
"""
    found = faults(tmp_path, usd(text))

    assert [key for key, _ in found] == [
        "timezone",
        "prices[1].price_per_gpu_hour",
        "prices[0].price_per_gpu_hour",
        "prices[2].id",
    ]
    assert found[1][1] == "must be a number, with a point and not a comma (it is '2,50')"
    assert found[0][1].count("Berlin'") == 1


@pytest.mark.parametrize(
    ("tariff", "keys"),
    [
        ("price_per_kilowatt_hour: 12", ["electricity[0].price_per_kilowatt_hour"]),
        ("price_per_kilowatt_hour: 12, unusual: true", []),
        ("price_per_kilowatt_hour: 0", []),
        (
            "price_per_kilowatt_hour: 0.1, bands: [{name: peak, price_per_kilowatt_hour: 0.001}]",
            ["electricity[0].bands[0].price_per_kilowatt_hour"],
        ),
    ],
)
def test_a_kilowatt_hour_in_cents_is_noticed(tmp_path: Path, tariff: str, keys: list[str]) -> None:
    """Outside of what anybody pays; free hours are real."""
    path = tmp_path / "config.yaml"
    path.write_text(usd(f"electricity: [{{pue: 1.2, {tariff}}}]\n"))

    if keys:
        found = faults_of(path)
        assert [key for key, _ in found] == keys
        assert "is it in cents" in found[0][1]
    else:
        load_settings(path)
