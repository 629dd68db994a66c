"""What systemd hears of us: readiness, status, watchdog; ``sd_notify(3)`` over its datagram socket."""

import os
import socket
from collections.abc import Mapping

from agent.units import NANOSECONDS_PER_SECOND


class Notifier:
    """Speaks to the service manager, or to nobody when there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_ns = _watchdog_ns(environment)
        self._last_ping_ns: int | None = None

    def ready(self, status: str) -> None:
        """Starting is done."""
        self._send("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for ``systemctl status``."""
        self._send(f"STATUS={status}")

    def stopping(self) -> None:
        """We were told to stop, and do."""
        self._send("STOPPING=1")

    def alive(self, now_ns: int) -> None:
        """Feed the watchdog, four times in its period; called by the tick thread alone."""
        if self._watchdog_ns is None:
            return
        if self._last_ping_ns is None or now_ns - self._last_ping_ns >= self._watchdog_ns // 4:
            self._last_ping_ns = now_ns
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(
                    1.0
                )  # a service manager that does not read must not hold the tick
                channel.connect(self._address)
                channel.sendall("\n".join(lines).encode())
        except OSError:
            return  # nobody to tell: systemd itself decides what that means


def _watchdog_ns(environment: Mapping[str, str]) -> int | None:
    period, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not period.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(period) * NANOSECONDS_PER_SECOND // 1_000_000
