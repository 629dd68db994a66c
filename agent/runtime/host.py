"""What tells this machine and this boot apart from others."""

import ctypes
from pathlib import Path

from agent.ledger.fill import Host

STA_UNSYNC = 0x0040
"""Set in the kernel's clock status while nobody disciplines the clock; ``adjtimex(2)``."""
TIME_ERROR = 5
_TIMEX_BYTES = 256
_TIMEX_STATUS_OFFSET = 40
"""Where ``struct timex`` holds ``int status`` on 64-bit Linux; ``adjtimex(2)``."""


def this_host() -> Host:
    """The machine and boot we run in; a container's machine id is the container's own."""
    return Host(
        machine_id=_text("/etc/machine-id") or _text("/var/lib/dbus/machine-id"),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        clock_synchronized=clock_synchronized(),
    )


def clock_synchronized() -> bool:
    """Whether something keeps the kernel's clock in step (NTP, PTP, a hypervisor's agent)."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: read only, needs no privilege
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    except (AttributeError, OSError):
        return False
    status = int.from_bytes(timex.raw[_TIMEX_STATUS_OFFSET : _TIMEX_STATUS_OFFSET + 4], "little")
    return 0 <= state < TIME_ERROR and not status & STA_UNSYNC


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
