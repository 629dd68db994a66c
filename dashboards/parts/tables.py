"""Tables: what their columns look like and which words stand for codes and for nothing."""

from collections.abc import Mapping, Sequence

from dashboards.parts.panels import NEUTRAL, SOURCE, STATES, Json, Modern, target


def table(  # noqa: PLR0913 - each is one thing people see
    title: str,
    description: str,
    queries: Mapping[str, str],
    *,
    join_by: str,
    renamed: Sequence[tuple[str, str]],
    hidden: Sequence[str],
    columns: Sequence[Json],
    sort_by: str,
    falling: bool = False,
) -> Modern:
    """Instant queries joined on a label, one row for each of its values."""
    return Modern(
        kind="table",
        title=title,
        description=description,
        dataSource=SOURCE,
        targets=[
            {**target(query, ref=ref, instant=True), "format": "table"}
            for ref, query in queries.items()
        ],
        transformations=[
            {"id": "joinByField", "options": {"byField": join_by, "mode": "outer"}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": dict.fromkeys(hidden, True),
                    "indexByName": {old: place for place, (old, _) in enumerate(renamed)},
                    "renameByName": dict(renamed),
                },
            },
        ],
        defaults={
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False},
            "thresholds": NEUTRAL,
        },
        overrides=list(columns),
        options={
            "cellHeight": "sm",
            "showHeader": True,
            "sortBy": [{"displayName": sort_by, "desc": falling}],
        },
    )


def states() -> list[Json]:
    """Value mappings from the agent's code of a state to its word and colour."""
    options = {
        str(code): {"color": color, "index": code, "text": word}
        for word, (code, color) in STATES.items()
    }
    return [{"type": "value", "options": options}]


def instead(word: str) -> list[Json]:
    """Value mappings that put a word in the place of an empty cell."""
    result = {"color": "#8e8e8e", "index": 0, "text": word}
    return [
        {"type": "special", "options": {"match": match, "result": result}}
        for match in ("null", "empty")
    ]


def gauge_cell(color: Json, top: float) -> Json:
    """Column settings that draw a value as a bar with its text."""
    return {
        "min": 0,
        "max": top,
        "color": color,
        "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
    }
