"""Every board keeps the conventions that Grafana itself does not enforce."""

import itertools
import json
import re
from collections import Counter
from typing import Any

import pytest

from agent.render import boards
from dashboards.build import files
from tests.dashboards.promql import labels_of, panels

RENDERED = {name: json.loads(text) for name, text in boards.render("EUR", "Metrics").items()}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in RENDERED.items()
    for panel in panels(board)
]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {"currencyEUR", "percentunit", "short"}
COLUMN_UNITS = UNITS | {"dateTimeFromNow"}
MODERN = {"stat", "timeseries", "bargauge", "table"}
PLACEHOLDER = re.compile(r"<<|>>|<%|%>")

each_board = pytest.mark.parametrize("board", RENDERED.values(), ids=RENDERED)
each_panel = pytest.mark.parametrize("panel", PANELS)


def test_every_generated_board_is_rendered() -> None:
    """None is forgotten, and there is one at least."""
    assert set(RENDERED) == {name for name in files() if name.endswith(".json")} != set()


@each_board
def test_board_is_a_classic_of_the_last_schema(board: dict[str, Any]) -> None:
    """Nothing is left to migrate, and people do not edit what is provisioned."""
    assert board["schemaVersion"] == 42
    assert board["editable"] is False
    assert board["title"].startswith("GPU cost / ")
    assert board["tags"] == ["gpufin"]
    assert re.fullmatch(r"gpufin-[a-z-]{1,33}", board["uid"])
    assert not {"rows", "__inputs", "style"} & set(board)


def test_board_uids_are_unique() -> None:
    """Links are built from them."""
    uids = [board["uid"] for board in RENDERED.values()]

    assert len(uids) == len(set(uids))


@each_board
def test_board_has_no_placeholder_left(board: dict[str, Any]) -> None:
    """Everything the fleet decides is filled in."""
    assert not PLACEHOLDER.search(json.dumps(board, ensure_ascii=False))


@each_board
def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    """Each cell of the 24 columns belongs to one panel at the most."""
    cells: Counter[tuple[int, int]] = Counter()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        columns = range(place["x"], place["x"] + place["w"])
        cells.update(itertools.product(columns, range(place["y"], place["y"] + place["h"])))

    assert max(cells.values()) == 1


@each_board
def test_panel_ids_and_titles_are_unique(board: dict[str, Any]) -> None:
    """Links and people tell panels apart."""
    for key in ("id", "title"):
        values = [panel[key] for panel in panels(board)]
        assert len(values) == len(set(values))


@each_board
def test_variables_go_from_the_whole_to_the_part(board: dict[str, Any]) -> None:
    """One data source first; the others take several values, and all of them as `.*`."""
    source, *others = board["templating"]["list"]

    assert (source["name"], source["type"], source["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert [variable["name"] for variable in others] == ["cluster", "team", "model"]
    for variable in others:
        assert variable["datasource"] == SOURCE
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".*"
        assert variable["refresh"] == 2
        assert variable["current"]["value"] == ["$__all"]
        query = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert query is not None
        assert query[2] in labels_of(query[1])


@each_panel
def test_panel_says_what_it_is(panel: dict[str, Any]) -> None:
    """A title, a sentence, a kind that Grafana still draws and a unit."""
    assert panel["type"] in MODERN
    assert panel["title"]
    assert panel["description"].endswith(".")
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] == "table":
        units = {
            setting["value"]
            for override in panel["fieldConfig"]["overrides"]
            for setting in override["properties"]
            if setting["id"] == "unit"
        }
        assert units
        assert units <= COLUMN_UNITS
    else:
        assert defaults["unit"] in UNITS


@each_panel
def test_panel_asks_the_chosen_data_source(panel: dict[str, Any]) -> None:
    """The panel and each of its queries, and no two queries share a letter."""
    assert panel["datasource"] == SOURCE
    assert all(target["datasource"] == SOURCE for target in panel["targets"])
    letters = [target["refId"] for target in panel["targets"]]
    assert letters
    assert len(letters) == len(set(letters))


@each_panel
def test_panel_queries_name_what_exists(panel: dict[str, Any]) -> None:
    """PromQL parses, and metrics and labels are exported or recorded."""
    for target in panel["targets"]:
        labels = labels_of(target["expr"])
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert shown <= labels


@each_panel
def test_panel_reads_single_cards_in_the_cards_table_only(panel: dict[str, Any]) -> None:
    """Anything else would be slow with thousands of nodes."""
    raw = [
        target for target in panel["targets"] if re.search(r"(?<!:)gpufin_\w+\{", target["expr"])
    ]

    assert not raw or panel["title"] == "Cards"
    assert all("bottomk(" in target["expr"] for target in raw)


@each_panel
def test_panel_thresholds_have_an_open_first_step(panel: dict[str, Any]) -> None:
    """A null, not the word, and rising numbers after it."""
    first, *rest = [
        step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    ]

    assert first is None
    assert rest == sorted(rest)


@pytest.mark.parametrize(
    ("currency", "unit"), [("EUR", "currencyEUR"), ("CAD", "suffix: CAD"), ("USD", "currencyUSD")]
)
def test_rendered_unit_follows_the_currency(currency: str, unit: str) -> None:
    """Grafana's own unit where it has one, else the code behind the number."""
    (text,) = boards.render(currency, "").values()

    assert f'"unit": "{unit}"' in text


def test_rendered_board_stays_json_whatever_the_data_source_is_called() -> None:
    """Quotes and placeholders in a name are only a name."""
    name = 'a "b" \\ << currency >> [[x]]'
    (text,) = boards.render("USD", name).values()

    variable = json.loads(text)["templating"]["list"][0]
    assert variable["current"]["value"] == name
