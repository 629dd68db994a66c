"""The server under the endpoint: a thread of its own, bounded in connections, quiet when unasked."""

import asyncio
import logging
import socket
import threading
from collections.abc import Collection
from contextlib import suppress
from itertools import count
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 128
"""One more, and the least useful is cut off: clients that never ask, or never read what they asked for,
must not keep a scrape out."""
BACKLOG = 128
"""So many are accepted at once before the first of them counts as a connection."""
KEEP_ALIVE_SECONDS = 75
"""Longer than the scrape interval of most, so that Prometheus keeps its connection."""
SHUTDOWN_SECONDS = 2
CHORES_SECONDS = 1.0
RELIEF = MAX_CONNECTIONS // 4
"""So many connections are cut off when there is no file descriptor left."""
TELL_SECONDS = 60.0
"""Between two log lines about connections that could not be accepted."""


class _Connection(H11Protocol):
    _numbers = count()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.number = next(self._numbers)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        super().connection_made(transport)
        others = _open(self.connections - {self})
        _cut_off(others, len(others) + 1 - MAX_CONNECTIONS)

    def shutdown(self) -> None:
        """End in order, but wait for nobody who does not read."""
        if self.is_stalled:
            self.transport.abort()
        else:
            super().shutdown()

    @property
    def last(self) -> RequestResponseCycle | None:
        return self.cycle  # declared otherwise, but None until there is a request

    @property
    def is_stalled(self) -> bool:
        return self.transport.get_write_buffer_size() > 0

    @property
    def worth(self) -> int:
        """Least: never asked anything; then what does not read, what waits, what is being answered."""
        if self.last is None:
            return 0
        if self.is_stalled:
            return 1
        return 2 if self.last.response_complete else 3


def _open(connections: Collection[object]) -> list[_Connection]:
    return [
        each
        for each in connections
        if isinstance(each, _Connection) and not each.transport.is_closing()
    ]


def _cut_off(connections: list[_Connection], number: int) -> None:
    """End so many connections, the least useful first, then the oldest."""
    by_worth = sorted(connections, key=lambda each: (each.worth, each.number))
    for connection in by_worth[: max(number, 0)]:
        # Closing in order would wait until what was written is read, which it may never be.
        connection.transport.abort()


class _Shortage:
    """What to do when connections cannot be accepted, which the event loop reports in bursts.

    Some are cut off once a second, and one line a minute says how often it happened.
    """

    def __init__(self, connections: Collection[object]) -> None:
        self._connections = connections
        self._count = 0
        self._relieved = self._told = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception handler of asyncio."""
        if "accept" not in str(context.get("message")):
            loop.default_exception_handler(context)
            return
        self._count += 1
        if loop.time() - self._relieved >= CHORES_SECONDS:
            self._relieved = loop.time()
            _cut_off(_open(self._connections), RELIEF)
        if loop.time() - self._told >= TELL_SECONDS:
            log.error(
                "connections cannot be accepted (%d attempts since the last line like this): %s",
                *(self._count, context.get("exception")),
            )
            self._count, self._told = 0, loop.time()


class _Server(uvicorn.Server):
    """uvicorn wakes ten times a second to see whether it should end; that was a third of our CPU."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()

    async def main_loop(self) -> None:
        """Once a second uvicorn's own chores (the Date header), until told to end."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_Shortage(self.server_state.connections))
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), CHORES_SECONDS)

    def end(self) -> None:
        """End the loop at once; called from another thread."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)


class HttpServer:
    """Serves an application on a socket from a thread of its own."""

    def __init__(self, app: Starlette, channel: socket.socket) -> None:
        self._channel = channel
        # A line for each request that is none would let every stranger fill the log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server = _Server(
            uvicorn.Config(
                app,
                http=_Connection,
                loop="asyncio",
                backlog=BACKLOG,
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
