"""Boards with the fleet's currency and Grafana's data source."""

import json

from agent.render.template import SHIPPED

_KNOWN_TO_GRAFANA = frozenset(
    [
        "BRL",
        "CHF",
        "CZK",
        "DKK",
        "EUR",
        "GBP",
        "IDR",
        "INR",
        "ISK",
        "JPY",
        "KRW",
        "MYR",
        "NOK",
        "PHP",
        "PLN",
        "RUB",
        "SEK",
        "TRY",
        "UAH",
        "USD",
        "VND",
        "ZAR",
    ]
)


def render(currency: str, datasource: str) -> dict[str, str]:
    """File name to JSON text.

    ``datasource`` is the name of the Prometheus data source that boards open with; one can choose
    another on the board, and empty leaves the choice to Grafana.
    """
    unit = f"currency{currency}" if currency in _KNOWN_TO_GRAFANA else f"suffix: {currency}"
    values = {
        "<< currency >>": currency,
        "<< currency_unit >>": unit,
        "<< datasource >>": datasource,
    }
    boards = sorted((SHIPPED / "generated").glob("*.json"))
    return {path.name: _fill(path.read_text(encoding="utf-8"), values) for path in boards}


def _fill(text: str, values: dict[str, str]) -> str:
    """The parsed board with every placeholder replaced, so that no value can break the JSON."""
    board = _replaced(json.loads(text), values)
    return json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _replaced(node: object, values: dict[str, str]) -> object:
    if isinstance(node, str):
        for placeholder, value in values.items():
            node = node.replace(placeholder, value)
        return node
    if isinstance(node, list):
        return [_replaced(item, values) for item in node]
    if isinstance(node, dict):
        return {key: _replaced(item, values) for key, item in node.items()}
    return node
