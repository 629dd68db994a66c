"""The server under the endpoint: a thread of its own, bounded in connections, quiet when unasked."""

import asyncio
import socket
import threading
from contextlib import suppress
from itertools import count
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

MAX_CONNECTIONS = 128
"""One more, and the idlest is closed: clients that never ask must not keep a scrape out."""
KEEP_ALIVE_SECONDS = 75
"""Longer than the scrape interval of most, so that Prometheus keeps its connection."""
SHUTDOWN_SECONDS = 2
CHORES_SECONDS = 1.0


class _Connection(H11Protocol):
    _numbers = count()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.number = next(self._numbers)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
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


class _Server(uvicorn.Server):
    """uvicorn wakes ten times a second to see whether it should end; that was a third of our CPU."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()

    async def main_loop(self) -> None:
        """Once a second uvicorn's own chores (the Date header), until told to end."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), CHORES_SECONDS)

    def end(self) -> None:
        """End the loop at once; called from another thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end.set)


class HttpServer:
    """Serves an application on a socket from a thread of its own."""

    def __init__(self, app: Starlette, channel: socket.socket) -> None:
        self._channel = channel
        self._server = _Server(
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
        self._server.end()
        self._thread.join(SHUTDOWN_SECONDS + 1)
        self._channel.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._channel])
