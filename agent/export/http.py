"""The HTTP endpoint: metrics, status page, health; its own thread, bounded in what it accepts."""

import asyncio
import socket
import threading
from itertools import count
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from agent.errors import GpufinError
from agent.export.page import MetricsPage
from agent.export.status import render_status
from agent.ports import Clock, ViewProvider

MAX_CONNECTIONS = 128
"""One more, and the idlest is closed: clients that never ask must not keep a scrape out."""
KEEP_ALIVE_SECONDS = 75
"""Longer than the scrape interval of most, so that Prometheus keeps its connection."""
SHUTDOWN_SECONDS = 2


def application(views: ViewProvider, clock: Clock) -> Starlette:
    """The routes; every answer is made from the current view alone."""
    page = MetricsPage()

    async def metrics(request: Request) -> Response:
        view = views.current()
        if view is None:
            return PlainTextResponse("no tick yet\n", status_code=503)
        body, content_type = page.render(view, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def status(_: Request) -> Response:
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return HTMLResponse(
            render_status(views.current()), headers={"content-security-policy": policy}
        )

    async def healthy(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        view = views.current()
        if view is None:
            return PlainTextResponse("not ready: no tick yet\n", status_code=503)
        if clock.now().boottime_ns > view.fresh_until_boottime_ns:
            return PlainTextResponse("not ready: the last tick is too old\n", status_code=503)
        return PlainTextResponse("ready\n")

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/", status),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
        ]
    )


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything else runs, so that a port in use is said at once.

    Raises:
        GpufinError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    channel = socket.socket(family, socket.SOCK_STREAM)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        channel.bind((host, port))
        channel.listen()  # until then another process may bind the same address
    except OSError as error:
        channel.close()
        raise GpufinError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return channel


class _Connection(H11Protocol):
    _numbers = count()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.number = next(self._numbers)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) <= MAX_CONNECTIONS:
            return
        idle = [
            other
            for other in self.connections
            if isinstance(other, _Connection) and other is not self and other.is_idle
        ]
        if idle:  # those that never asked anything first, then the oldest
            min(idle, key=lambda other: (other.last is not None, other.number)).shutdown()

    @property
    def last(self) -> RequestResponseCycle | None:
        return self.cycle  # declared otherwise, but None until there is a request

    @property
    def is_idle(self) -> bool:
        return self.last is None or self.last.response_complete


class HttpServer:
    """Serves an application on a socket from a thread of its own."""

    def __init__(self, app: Starlette, channel: socket.socket) -> None:
        self._channel = channel
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being answered, then end."""
        self._server.should_exit = True
        self._thread.join(SHUTDOWN_SECONDS + 1)
        self._channel.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._channel])
