"""The simulated engine's page over HTTP, on the loopback interface only."""

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agent.devices.simulated.node import SimulatedNode
from agent.devices.simulated.vllm_page import vllm_page
from agent.ports import Clock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class VllmServer:
    """Serves ``/metrics`` from a daemon thread between ``start()`` and ``stop()``.

    ``port`` 0 takes any free one; the port taken is in ``port``.
    """

    def __init__(self, clock: Clock, node: SimulatedNode, *, port: int = 0) -> None:
        handler = _handler(clock, node)
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="simulated-vllm", daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/metrics"

    def start(self) -> None:
        """Answer from now on; once."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more and free the port; harmless without a start, or twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _handler(clock: Clock, node: SimulatedNode) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            body = vllm_page(node, clock.now()).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Scrapes are not news."""

    return Handler
