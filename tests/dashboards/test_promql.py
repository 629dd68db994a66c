"""The lint itself: planted mistakes are found."""

import pytest

from tests.dashboards.promql import QueryError, labels_of


@pytest.mark.parametrize(
    "query",
    [
        "gpufin_nothing",
        "team:gpufin_nothing:sum",
        'gpufin_gpu_up{team="a"}',
        "gpufin_cost_total",
        "rate(gpufin_gpu_power_watts[5m])",
        "rate(sum(gpufin_cost_total)[5m:1m])",
        "sum by (team) (gpufin_gpu_up)",
        "gpufin_gpu_up * on (team) gpufin_gpu_state",
        "gpufin_gpu_up * on (uuid) group_left (model) gpufin_gpu_state",
        "gpufin_gpu_up * gpufin_gpu_info",
    ],
)
def test_lint_finds_a_planted_mistake(query: str) -> None:
    """Unknown names and labels, counters read raw, labels that are not there."""
    with pytest.raises(QueryError):
        labels_of(query)


def test_lint_computes_labels_through_joins() -> None:
    """What a join adds is a label of the result."""
    query = "sum by (uuid) (gpufin_gpu_up) * on (uuid) group_left (model) gpufin_gpu_info"

    assert labels_of(query) == {"uuid", "model"}
