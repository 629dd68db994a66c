"""The real programs of the line, started on loopback and stopped whatever happens."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, attempt: Callable[[], T | None], seconds: float) -> T:
    """The first true answer of ``attempt`` within ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        found = attempt()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


def fetch(url: str) -> str | None:
    """The body of a page, or None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


@dataclass
class Program:
    """A running program; its output goes to a file for the report of a failure."""

    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.arguments,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env=os.environ | dict(self.environment),
                cwd=REPOSITORY,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def tool(name: str) -> str:
    """The path of an installed program; a missing one fails the test."""
    path = shutil.which(name)
    assert path is not None, f"{name} is not installed: make test installs it"
    return path


class Agent(Program):
    """A gpufin process with its configuration, ledger and port."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any] | None = None,
        arguments: Sequence[str] = ("run",),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.state = directory / "state"
        self.config = directory / "config.yaml"
        document = {"currency": "USD", **(config or {})}
        self.config.write_text(json.dumps(document))  # JSON is YAML
        super().__init__(
            [
                sys.executable,
                "-m",
                "agent",
                *arguments,
                "--config",
                str(self.config),
                "--state-directory",
                str(self.state),
                "--listen",
                f"127.0.0.1:{self.port}",
            ],
            directory / "agent.log",
            environment or {},
        )

    def url(self, path: str = "/metrics") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        super().start()
        self.wait_ready()

    def wait_ready(self) -> None:
        wait_for(f"{self.url()} ready", lambda: fetch(self.url("/-/ready")), 20)


class Prometheus(Program):
    """A real Prometheus that scrapes agents each second."""

    def __init__(
        self,
        directory: Path,
        targets: Mapping[str, Agent],
        rules: Path | None = None,
        alertmanager_port: int | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        config: dict[str, Any] = {
            "global": {
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "evaluation_interval": "1s",
            },
            "scrape_configs": [
                {
                    "job_name": "gpufin",
                    "static_configs": [
                        {
                            "targets": [f"127.0.0.1:{agent.port}"],
                            "labels": {"cluster": "lab", "node": node},
                        }
                        for node, agent in targets.items()
                    ],
                }
            ],
        }
        if rules is not None:
            config["rule_files"] = [str(rules / "*.yaml")]
        if alertmanager_port is not None:
            target = [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]
            config["alerting"] = {"alertmanagers": [{"static_configs": target}]}
        file = directory / "prometheus.yml"
        file.write_text(json.dumps(config))
        super().__init__(
            [
                tool("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                # After a reload it has no Alertmanager for up to 5 s and drops what it sends; by default
                # it would say it again only after a minute.
                "--rules.alert.resend-delay=3s",
                "--log.level=warn",
            ],
            directory / "prometheus.log",
        )

    def start(self) -> None:
        super().start()
        wait_for("Prometheus ready", lambda: fetch(f"http://127.0.0.1:{self.port}/-/ready"), 30)

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The result vector or matrix of an instant query."""
        parameters = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{urllib.parse.urlencode(parameters)}"
        body = fetch(url)
        assert body is not None, f"Prometheus does not answer {expression}"
        answer = json.loads(body)
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str, at: float | None = None) -> float:
        """The single value of an instant query."""
        result = self.query(expression, at)
        assert len(result) == 1, (expression, result)
        return float(result[0]["value"][1])

    def samples(self, selector: str, window: str = "10m") -> dict[float, float]:
        """Scrape time to the sum over the series of a selector, as scraped: no extrapolation."""
        sums: dict[float, float] = {}
        for series in self.query(f"{selector}[{window}]"):
            for moment, value in series["values"]:
                sums[float(moment)] = sums.get(float(moment), 0.0) + float(value)
        return dict(sorted(sums.items()))


class Alertmanager(Program):
    """A real Alertmanager."""

    def __init__(self, directory: Path, config: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        super().__init__(
            [
                tool("prometheus-alertmanager"),
                f"--config.file={config}",
                f"--storage.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
            directory / "alertmanager.log",
        )

    def start(self) -> None:
        super().start()
        wait_for("Alertmanager ready", lambda: fetch(f"http://127.0.0.1:{self.port}/-/ready"), 30)


class Slack:
    """Receives webhooks on loopback and answers as Slack does."""

    def __init__(self) -> None:
        received: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append({"path": self.path, "body": json.loads(body)})
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
                del format, arguments

        self.messages = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/T0/B0/secret"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def running(*programs: Program) -> Iterator[None]:
    """Start programs in order, stop them in reverse; pytest shows their output when a test failed."""
    started: list[Program] = []
    try:
        for program in programs:
            started.append(program)
            program.start()
        yield
    finally:
        for program in reversed(started):
            if program.process is not None and program.process.poll() is None:
                program.stop()
        for program in started:
            print(f"---- {program.log}\n{program.log.read_text()[-4000:]}")
