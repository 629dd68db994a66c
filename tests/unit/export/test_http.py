"""The HTTP endpoint on a real socket."""

import asyncio
import errno
import http.client
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import pytest

from agent.errors import GpufinError
from agent.export.http import address_of, application, listen
from agent.export.server import MAX_CONNECTIONS, RELIEF, HttpServer, _Shortage
from agent.ports import Clock, ViewProvider
from agent.samples.instant import Instant
from agent.view import View
from tests.unit.export.views import NOW, card, rich, view

LOOPBACK = "127.0.0.1"


class Views(ViewProvider):
    def __init__(self, picture: View | None) -> None:
        self.picture = picture

    def current(self) -> View | None:
        return self.picture


class StillClock(Clock):
    def __init__(self) -> None:
        self.boottime_ns = NOW.boottime_ns

    def now(self) -> Instant:
        return Instant(self.boottime_ns, NOW.wall_ns)


class Site:
    """A served application, and requests to it."""

    def __init__(self, server: HttpServer, port: int, views: Views, clock: StillClock) -> None:
        self.server, self.port, self.views, self.clock = server, port, views, clock

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        """Status, body, content type."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers["content-type"] or ""
        finally:
            connection.close()


@contextmanager
def serving(picture: View | None) -> Iterator[Site]:
    views, clock = Views(picture), StillClock()
    channel = listen(LOOPBACK, 0)
    port = channel.getsockname()[1]
    server = HttpServer(application(views, clock), channel)
    server.start()
    try:
        yield Site(server, port, views, clock)
    finally:
        server.stop()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(rich()) as site:
        yield site


def test_before_the_first_tick_nothing_is_made_up() -> None:
    """Alive but not ready, no metrics yet, and a page for people."""
    with serving(None) as site:
        assert site.get("/-/healthy")[0] == 200
        assert site.get("/-/ready")[:2] == (503, "not ready: no tick yet\n")
        assert site.get("/metrics")[0] == 503
        status, body, kind = site.get("/")
        assert (status, kind) == (200, "text/html; charset=utf-8")
        assert "no reading has arrived yet" in body


def test_ready_means_fresh(site: Site) -> None:
    """The last moment of freshness is ready, the next is not, and health does not care."""
    assert site.get("/-/ready")[:2] == (200, "ready\n")
    site.clock.boottime_ns = rich().fresh_until_boottime_ns
    assert site.get("/-/ready")[0] == 200
    site.clock.boottime_ns += 1
    assert site.get("/-/ready")[:2] == (503, "not ready: the last tick is too old\n")
    assert site.get("/metrics")[0] == 503  # the last value is no present one
    assert site.get("/-/healthy")[0] == 200


def test_ready_means_that_the_driver_has_answered(site: Site) -> None:
    """While it hangs in its first call nothing was ever read; the metrics say so themselves."""
    site.views.picture = replace(rich(), settled=False)
    assert site.get("/-/ready")[:2] == (503, "not ready: the driver has not answered yet\n")
    assert site.get("/metrics")[0] == 200


def test_both_formats_are_served_by_accept(site: Site) -> None:
    """As Prometheus asks, and as a person with curl does."""
    assert site.get("/metrics")[2].startswith("text/plain; version=0.0.4")
    status, body, kind = site.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_nonsense_is_answered_with_an_error_of_the_client(site: Site) -> None:
    """Unknown paths, other methods and odd headers never become an error of the server."""
    assert site.get("/secrets")[0] == 404
    assert site.get("/../../etc/passwd")[0] == 404
    assert site.get("/metrics", "POST")[0] == 405
    assert site.get("/metrics", "HEAD")[0] == 200
    assert site.get("/metrics", Accept="application/openmetrics-text; version=x.y;;=")[0] == 200


def test_the_status_page_forbids_scripts(site: Site) -> None:
    """A name that would become markup is text, and the browser is told to run nothing."""
    site.views.picture = view(card(0, team="<script>alert(1)</script>"))
    connection = http.client.HTTPConnection(LOOPBACK, site.port, timeout=5)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert "default-src 'none'" in (answer.headers["content-security-policy"] or "")
    assert "<script" not in answer.read().decode()
    connection.close()


def test_a_new_picture_is_served_at_once(site: Site) -> None:
    """No page outlives its tick."""
    first = site.get("/metrics")[1]
    site.views.picture = replace(rich(), pending_entries=77)
    second = site.get("/metrics")[1]
    assert "gpufin_ledger_pending_entries 3.0" in first
    assert "gpufin_ledger_pending_entries 77.0" in second


def test_idle_clients_do_not_keep_scrapes_out(site: Site) -> None:
    """Connections that never ask for anything are not worth more than one that does."""
    with ExitStack() as stack:
        kept = http.client.HTTPConnection(LOOPBACK, site.port, timeout=5)
        kept.request("GET", "/-/healthy")
        assert kept.getresponse().read() == b"ok\n"
        channel = kept.sock
        idle = [
            stack.enter_context(socket.create_connection((LOOPBACK, site.port), timeout=5))
            for _ in range(MAX_CONNECTIONS + 10)
        ]
        time.sleep(0.2)
        assert site.get("/metrics")[0] == 200
        kept.request("GET", "/-/healthy")
        assert kept.getresponse().read() == b"ok\n"
        assert kept.sock is channel  # who asked before is closed after those that never did
        kept.close()
        assert idle[0].recv(1) == b""
        idle[-1].settimeout(0.05)
        with pytest.raises(TimeoutError):
            idle[-1].recv(1)


def test_clients_that_never_read_do_not_keep_scrapes_out_nor_stay() -> None:
    """Each asks for more than fits into the buffers; there is a bound to them, and the end is quick."""
    asked = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 200
    with ExitStack() as stack, serving(rich()) as site:
        for _ in range(MAX_CONNECTIONS + 30):
            channel = stack.enter_context(socket.socket())
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            channel.settimeout(5)
            channel.connect((LOOPBACK, site.port))
            channel.sendall(asked)
        connections = site.server._server.server_state.connections
        deadline = time.monotonic() + 20
        while not all(each.transport.get_write_buffer_size() for each in list(connections)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len(connections) == MAX_CONNECTIONS
        assert site.get("/metrics")[0] == 200
        assert len(connections) <= MAX_CONNECTIONS
        started = time.monotonic()
        site.server.stop()
        assert time.monotonic() - started < 1


def test_what_is_no_request_fills_no_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A stranger with a port scanner is answered, not written down."""
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\0\r\n\r\n", b"GET\r\n\r\n"):
        with socket.create_connection((LOOPBACK, site.port), timeout=5) as channel:
            channel.sendall(nonsense + b"\r\n\r\n")
            assert channel.recv(100).startswith(b"HTTP/1.1 400")
    assert caplog.messages == []


def test_a_burst_of_refused_connections_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Asyncio reports each attempt; other errors of the loop keep their own report."""
    shortage, loop = _Shortage(()), asyncio.new_event_loop()
    error = OSError(errno.EMFILE, "Too many open files")
    message = "socket.accept() out of system resource"
    for _ in range(1_000):
        shortage(loop, {"message": message, "exception": error})
    shortage(loop, {"message": "something else"})
    loop.close()
    assert [text[:60] for text in caplog.messages] == [
        "connections cannot be accepted (1 attempts since the last li",
        "something else",
    ]


def test_a_shortage_of_descriptors_ends_the_least_useful_connections(site: Site) -> None:
    """Else those that hold them would keep every scrape out for as long as they like."""
    shortage = {"message": "socket.accept() out of system resource", "exception": OSError()}
    kept = http.client.HTTPConnection(LOOPBACK, site.port, timeout=5)
    kept.request("GET", "/-/healthy")
    kept.getresponse().read()
    loop = site.server._server._loop
    assert loop is not None
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection((LOOPBACK, site.port), timeout=5))
            for _ in range(RELIEF + 1)
        ]
        time.sleep(0.2)
        for _ in range(100):
            loop.call_soon_threadsafe(loop.call_exception_handler, shortage)
        ended = []
        for channel in idle:
            channel.settimeout(0.2)
            with suppress(TimeoutError, ConnectionResetError):
                ended.append(channel.recv(1))
        assert len(ended) == RELIEF
    kept.request("GET", "/-/healthy")
    assert kept.getresponse().status == 200
    kept.close()


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_the_address_is_the_real_one_as_urls_have_it(host: str, shown: str) -> None:
    """Port 0 is any free one: which, is what a person needs to know."""
    with listen(host, 0) as channel:
        assert address_of(channel) == f"{shown}:{channel.getsockname()[1]}"
        with pytest.raises(GpufinError, match=re.escape(f"listen on {address_of(channel)}: ")):
            listen(host, channel.getsockname()[1])


def test_a_host_name_that_can_be_none_is_told() -> None:
    """The resolver's own error is no sentence."""
    with pytest.raises(GpufinError, match=r"cannot listen on ü\.\.b:1: this is no host name"):
        listen("ü..b", 1)


def test_an_address_in_use_is_told_before_anything_is_served() -> None:
    """Also when the other one has not begun to serve."""
    first = listen(LOOPBACK, 0)
    with (
        first,
        pytest.raises(GpufinError, match=r"cannot listen on 127\.0\.0\.1:.*in use; choose another"),
    ):
        listen(LOOPBACK, first.getsockname()[1])


def test_an_address_of_another_machine_is_told() -> None:
    """A wrong address is one sentence."""
    with pytest.raises(GpufinError, match=r"cannot listen on 203\.0\.113\.1:1"):
        listen("203.0.113.1", 1)


def test_stopping_is_quick_with_clients_that_stay() -> None:
    """A kept-alive connection does not hold up the end, and the port is free afterwards."""
    with serving(rich()) as site:
        idle = socket.create_connection((LOOPBACK, site.port), timeout=5)
        idle.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        port, started = site.port, time.monotonic()
    assert time.monotonic() - started < 3
    idle.close()
    listen(LOOPBACK, port).close()
