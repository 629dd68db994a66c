"""The /metrics page of the inference engine that the node's serving cards run.

Each serving card is one engine of a data-parallel vLLM deployment. Names, labels and help texts are
vLLM's own. Source: hardware.md 3.1 and 3.3; vllm/v1/metrics/loggers.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.devices.simulated.faults import FaultKind, counting_since_ns, happening
from agent.devices.simulated.loads import Load
from agent.devices.simulated.node import Card, SimulatedNode, cards_of
from agent.samples.instant import Instant
from agent.units import NANOSECONDS_PER_SECOND

MODEL_NAME = "meta-llama/Llama-3.1-8B-Instruct"
PROMPT_TOKENS = 1_155
GENERATED_TOKENS = 550
"""Tokens of a request. Prompts are Azure's mean chat prompt (hardware.md 5.2); answers are longer
than Azure's 211 of 2023, as the prefill of such short ones would exceed an H100. Judgement."""
CACHED_PERCENT = 30
"""Share of prompt tokens found in the prefix cache. Judgement."""
STOPPED_BY_LENGTH_PERCENT = 8
KV_TOKENS = 430_000
"""Tokens the KV cache holds: 8B, bf16, 80 GB. Source: hardware.md section 6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Engine:
    """One engine's figures; counters since it started."""

    number: int
    running: int
    waiting: int
    generated_tokens: int

    @property
    def prompt_tokens(self) -> int:
        return self.generated_tokens * PROMPT_TOKENS // GENERATED_TOKENS

    @property
    def cached_tokens(self) -> int:
        return self.prompt_tokens * CACHED_PERCENT // 100

    @property
    def kv_cache_usage(self) -> float:
        """On average a request is half done."""
        return self.running * (PROMPT_TOKENS + GENERATED_TOKENS / 2) / KV_TOKENS

    @property
    def requests(self) -> int:
        return self.generated_tokens // GENERATED_TOKENS

    @property
    def requests_cut(self) -> int:
        return self.requests * STOPPED_BY_LENGTH_PERCENT // 100


_FAMILIES = (
    ("num_requests_running", "gauge", "Number of requests in model execution batches."),
    ("num_requests_waiting", "gauge", "Number of requests waiting to be processed."),
    ("kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage."),
    (
        "prefix_cache_queries_total",
        "counter",
        "Prefix cache queries, in terms of number of queried tokens.",
    ),
    (
        "prefix_cache_hits_total",
        "counter",
        "Prefix cache hits, in terms of number of cached tokens.",
    ),
    ("prompt_tokens_total", "counter", "Number of prefill tokens processed."),
    ("generation_tokens_total", "counter", "Number of generation tokens processed."),
    ("request_success_total", "counter", "Count of successfully processed requests."),
)


def _series(engine: _Engine) -> Iterator[tuple[str, str, float]]:
    """(family, further labels, value)."""
    yield "num_requests_running", "", engine.running
    yield "num_requests_waiting", "", engine.waiting
    yield "kv_cache_usage_perc", "", engine.kv_cache_usage
    yield "prefix_cache_queries_total", "", engine.prompt_tokens
    yield "prefix_cache_hits_total", "", engine.cached_tokens
    yield "prompt_tokens_total", "", engine.prompt_tokens
    yield "generation_tokens_total", "", engine.generated_tokens
    stopped = engine.requests - engine.requests_cut
    yield "request_success_total", ',finished_reason="stop"', stopped
    yield "request_success_total", ',finished_reason="length"', engine.requests_cut
    yield "request_success_total", ',finished_reason="abort"', 0


def _engine(number: int, card: Card, simulated_ns: int) -> _Engine:
    since_ns = counting_since_ns(card.faults, FaultKind.ENGINE_RESTART, simulated_ns)
    segment = card.course.segment(simulated_ns // NANOSECONDS_PER_SECOND)
    tokens = card.course.generated_tokens
    return _Engine(
        number=number,
        running=segment.running,
        waiting=segment.waiting,
        generated_tokens=tokens(simulated_ns) - tokens(since_ns),
    )


def vllm_page(node: SimulatedNode, now: Instant) -> str:
    """The page in Prometheus' text format; the engine of a lost card is not on it."""
    simulated_ns = node.simulated_ns(now)
    serving = [card for card in cards_of(node) if card.load is Load.LLM_DIURNAL]
    samples: dict[str, list[str]] = {family: [] for family, _, _ in _FAMILIES}
    for number, card in enumerate(serving):
        if happening(card.faults, FaultKind.LOST, simulated_ns):
            continue
        for family, labels, value in _series(_engine(number, card, simulated_ns)):
            head = f'vllm:{family}{{engine="{number}"{labels},model_name="{MODEL_NAME}"}}'
            samples[family].append(f"{head} {float(value)!r}\n")
    return "".join(
        f"# HELP vllm:{family} {text}\n# TYPE vllm:{family} {kind}\n" + "".join(samples[family])
        for family, kind, text in _FAMILIES
    )
