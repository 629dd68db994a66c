"""The simulated engine's page."""

from prometheus_client.parser import text_string_to_metric_families

from agent.devices.simulated.faults import Fault, FaultKind
from agent.devices.simulated.node import SimulatedNode, demo_cards
from agent.devices.simulated.vllm_page import vllm_page
from agent.samples.instant import Instant

SECOND = 1_000_000_000


def page_at(second: int, *faults: Fault) -> dict[tuple[str, str], float]:
    """(sample name, engine) to value, summed over further labels."""
    node = SimulatedNode(cards=demo_cards(8), faults=faults)
    values: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(vllm_page(node, Instant(second * SECOND, 0))):
        for sample in family.samples:
            key = sample.name, sample.labels["engine"]
            values[key] = values.get(key, 0.0) + sample.value
    return values


def test_page_has_vllm_s_names_kinds_and_labels() -> None:
    """A Prometheus parser finds the families a real engine has, typed, with its labels."""
    node = SimulatedNode(cards=demo_cards(1))

    families = list(text_string_to_metric_families(vllm_page(node, Instant(10**12, 0))))

    assert {family.name: family.type for family in families} == {
        "vllm:num_requests_running": "gauge",
        "vllm:num_requests_waiting": "gauge",
        "vllm:kv_cache_usage_perc": "gauge",
        "vllm:prefix_cache_queries": "counter",
        "vllm:prefix_cache_hits": "counter",
        "vllm:prompt_tokens": "counter",
        "vllm:generation_tokens": "counter",
        "vllm:request_success": "counter",
    }
    assert all(family.documentation for family in families)
    labels = {"engine": "0", "model_name": "meta-llama/Llama-3.1-8B-Instruct"}
    assert families[0].samples[0].labels == labels


def test_page_of_a_node_that_serves_nothing_is_empty_of_samples() -> None:
    """Without a serving card there is no engine, and no zero in its place."""
    node = SimulatedNode(cards=demo_cards(8)[1:3])

    families = text_string_to_metric_families(vllm_page(node, Instant(0, 0)))

    assert not [sample for family in families for sample in family.samples]


def test_page_counts_tokens_at_the_measured_rate() -> None:
    """Over a minute a busy engine generates 1,000 to 9,000 tokens a second, and a parked one 0."""
    before, after = page_at(3_600), page_at(3_660)
    rates = [
        (after[name] - before[name]) / 60
        for name in (("vllm:generation_tokens_total", engine) for engine in "0123")
    ]

    assert rates[3] == 0.0
    assert all(1_000 <= rate <= 9_000 for rate in rates[:3])


def test_page_keeps_its_figures_consistent() -> None:
    """Prompts are longer than answers, hits are part of queries, the cache is never over-full."""
    page = page_at(7_200)

    for engine in "012":
        queries = page["vllm:prefix_cache_queries_total", engine]
        assert page["vllm:prompt_tokens_total", engine] == queries
        assert page["vllm:generation_tokens_total", engine] < queries
        assert 0 < page["vllm:prefix_cache_hits_total", engine] < queries
        assert 0 < page["vllm:kv_cache_usage_perc", engine] <= 1
        assert 1 <= page["vllm:num_requests_running", engine] <= 256


def test_engine_restart_counts_from_zero() -> None:
    """A restart shows as counters that fell, as in any process that starts again."""
    restart = Fault(kind=FaultKind.ENGINE_RESTART, start_s=3_600, card=0)
    name = "vllm:generation_tokens_total", "0"

    whole = page_at(3_660)[name] - page_at(3_600)[name]

    assert page_at(3_599, restart)[name] == page_at(3_599)[name]
    assert page_at(3_600, restart)[name] == 0.0
    assert page_at(3_660, restart)[name] == whole


def test_engine_of_a_lost_card_is_absent_and_comes_back_at_zero() -> None:
    """No card, no engine: its series are gone, not 0, and start anew."""
    lost = Fault(kind=FaultKind.LOST, start_s=100, end_s=200, card=0)
    name = "vllm:generation_tokens_total", "0"

    assert name not in page_at(150, lost)
    assert page_at(200, lost)[name] == 0.0
    assert ("vllm:generation_tokens_total", "1") in page_at(150, lost)
