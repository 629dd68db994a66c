"""The fleet file: what is refused, and with which words."""

import pytest
from pydantic import ValidationError

from agent.config.fleet import Fleet


def _faults(document: object) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Fleet.model_validate(document)
    return [(".".join(map(str, each["loc"])), each["msg"]) for each in caught.value.errors()]


def test_an_empty_file_is_all_defaults() -> None:
    """Nothing is required."""
    fleet = Fleet.model_validate({})

    assert (fleet.idle.window, fleet.idle.pending, fleet.idle.keep_firing_for) == (
        "30m",
        "30m",
        "15m",
    )
    assert fleet.budgets == ()


def test_a_bare_threshold_gets_the_severity_of_its_height() -> None:
    """Half is worth knowing, four fifths a warning, all is critical."""
    fleet = Fleet.model_validate(
        {
            "budgets": [
                {"name": "a", "amount": 1, "thresholds": [0.5, {"at": 0.8, "severity": "info"}, 1]}
            ]
        }
    )

    given = [(threshold.at, threshold.severity) for threshold in fleet.budgets[0].thresholds]
    assert given == [(0.5, "info"), (0.8, "info"), (1.0, "critical")]


@pytest.mark.parametrize(
    ("document", "key", "words"),
    [
        ({"budget": []}, "budget", "Extra inputs are not permitted"),
        ({"idle": {"for": "soon"}}, "idle.for", "not a duration"),
        ({"idle": {"window": "0s"}}, "idle.window", "longer than nothing"),
        ({"idle": {"window": "30 m"}}, "idle.window", "not a duration"),
        ({"idle": {"enter": 0.5}}, "idle", "leave must be lower"),
        ({"budgets": [{"name": "a", "amount": 0}]}, "budgets.0.amount", "greater than 0"),
        ({"budgets": [{"name": "a", "amount": "010"}]}, "budgets.0.amount", "write 10"),
        ({"budgets": [{"name": "a", "amount": True}]}, "budgets.0.amount", "not true or false"),
        ({"budgets": [{"name": "a", "amount": float("inf")}]}, "budgets.0.amount", "finite"),
        (
            {"budgets": [{"name": "a", "amount": 1, "thresholds": [1, 0.5]}]},
            "budgets.0",
            "thresholds must rise",
        ),
        (
            {"budgets": [{"name": "a", "amount": 1}, {"name": "a", "amount": 2}]},
            "",
            "named more than once: a",
        ),
        ({"budgets": [{"name": "a\nb", "amount": 1}]}, "budgets.0.name", "line breaks"),
        ({"currency": "euro"}, "currency", "pattern"),
        ({"urls": {"grafana": "https://a/{{ . }}"}}, "urls.grafana", "pattern"),
        ({"slack": {"api_url_file": "slack-url"}}, "slack.api_url_file", "pattern"),
        ({"windows": {"carry": "1m"}}, "", "at least twice"),
        ({"forecast": {"window": "1m"}}, "forecast", "multiple of resolution"),
        (
            {"forecast": {"burn_windows": ["1h", "soon"]}},
            "forecast.burn_windows.1",
            "not a duration",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(document: object, key: str, words: str) -> None:
    """So that the loader can tell where and what."""
    ((where, problem),) = _faults(document)

    assert where == key
    assert words in problem


def test_every_key_has_a_description() -> None:
    """Editors and the reference page show it."""
    schema = Fleet.model_json_schema()

    for part in (schema, *schema["$defs"].values()):
        for name, field in part["properties"].items():
            assert field.get("description") or "$ref" in field, name
