"""The HTTP endpoint: the address, and what it answers from the current view."""

import errno
import socket

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from agent.errors import GpufinError
from agent.export.page import MetricsPage
from agent.export.status import render_status
from agent.ports import Clock, ViewProvider
from agent.view import View


def application(views: ViewProvider, clock: Clock) -> Starlette:
    """The routes; every answer is made from the current view alone."""
    page, host = MetricsPage(), socket.gethostname()

    async def metrics(request: Request) -> Response:
        view, problem = _fresh(views, clock)
        if view is None:
            return PlainTextResponse(problem, status_code=503)
        body, content_type = page.render(view, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def status(_: Request) -> Response:
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return HTMLResponse(
            render_status(views.current(), host), headers={"content-security-policy": policy}
        )

    async def healthy(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        view, problem = _fresh(views, clock)
        if view is not None and not view.settled:
            problem = "not ready: the driver has not answered yet\n"
        return PlainTextResponse(problem or "ready\n", status_code=503 if problem else 200)

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/", status),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
        ]
    )


def _fresh(views: ViewProvider, clock: Clock) -> tuple[View | None, str]:
    """The view, unless the tick stands still: a value of the past is no present one."""
    view = views.current()
    if view is None:
        return None, "not ready: no tick yet\n"
    if clock.now().boottime_ns > view.fresh_until_boottime_ns:
        return None, "not ready: the last tick is too old\n"
    return view, ""


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
    except (OSError, TypeError) as error:  # TypeError: what can be no host name
        channel.close()
        why = error.strerror if isinstance(error, OSError) else "this is no host name"
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            why = f"{why}; choose another with --listen HOST:PORT or the key listen"
        raise GpufinError(f"cannot listen on {_written(host, port)}: {why}") from error
    return channel


def address_of(channel: socket.socket) -> str:
    """Where it really listens, as it stands in a URL."""
    host, port, *_ = channel.getsockname()
    return _written(host, port)


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
