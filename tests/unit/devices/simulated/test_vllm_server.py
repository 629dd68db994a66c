"""The simulated engine's page over HTTP."""

import urllib.error
import urllib.request

import pytest

from agent.devices.simulated.node import SimulatedNode, demo_cards
from agent.devices.simulated.vllm_page import vllm_page
from agent.devices.simulated.vllm_server import VllmServer
from agent.samples.instant import Instant


class StandingClock:
    """A clock that stands at one moment."""

    def now(self) -> Instant:
        return Instant(3_600 * 10**9, 0)


def test_server_serves_the_page_and_frees_its_port() -> None:
    """``/metrics`` is the page, anything else is not found, and a stopped server can be replaced."""
    node = SimulatedNode(cards=demo_cards(2))
    clock = StandingClock()
    server = VllmServer(clock, node)
    server.start()

    with urllib.request.urlopen(server.url, timeout=5) as answer:
        body, kind = answer.read().decode(), answer.headers["Content-Type"]
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(server.url + "/else", timeout=5)
    caught.value.close()
    server.stop()
    again = VllmServer(clock, node, port=server.port)
    again.stop()

    assert body == vllm_page(node, clock.now())
    assert kind.startswith("text/plain; version=0.0.4")


def test_server_stops_without_a_start() -> None:
    """A server that was never started lets go of its port, twice if asked."""
    server = VllmServer(StandingClock(), SimulatedNode(cards=()))

    server.stop()
    server.stop()
