"""A scripted stand-in for NVIDIA's management library, for programs that load the real one.

`build` compiles `libnvidia-ml.so.1`. A process started with the variables of `environment` loads
it in place of the real library, through pynvml or otherwise, and it answers as the script file
says. A changed script is noticed within `POLL_SECONDS`, so a test drives a running program by
changing a `Script` and calling `Script.write`.

Values are functions of the time since the script's epoch, never accumulated: the energy counter
goes on rising over restarts of the program under test, and `Card.energy_mj` computes the very
same integers as the C code.

The script is a text of one directive a line, `directive key=value …`; `#` begins a comment line.
Times are decimal seconds since the epoch, windows are [from, until) and both ends may be left
out, `%20` is a space. Anything not understood makes every call answer UNKNOWN (999) and a message
on standard error. CARD is a number 0..63 that never changes, unlike `index`.

    epoch boottime_ns=N | process_start=1   [fixed=SECONDS: time stands still]
    versions driver=TEXT nvml=TEXT cuda=13010
    counters path=FILE                      (calls per symbol; see read_counters)
    card card=CARD index=N ...              (identity and limits; index=-1: not enumerated)
    timeline card=CARD of=power|gpu_utilization|memory_utilization|memory|temperature
        [period=SECONDS] points=START:VALUE[>END],...       (mW, %, %, bytes, degrees C)
    energy event=reset|jump|freeze [card=CARD|*] from=T [until=T] [millijoules=N]
        [mode=lose|catch_up]
    process card=CARD pid=N memory=BYTES|unknown type=compute|graphics|mps
        [sm= mem= enc= dec= (percent) age=SECONDS] [from=T] [until=T]
    fail [card=CARD|*] [call=NAME|field:N|*] code=N [from=T] [until=T] [count=N id=TEXT]
    latency [card=] [call=] us=N [from=T] [until=T]
    hang [card=] [call=] [from=T] [until=T]
    lost card=CARD [from=T] [until=T]
    reload at=T [code=1] [upgraded=1]

Without card and call, fail, latency and hang hold for every call, nvmlInit included; the hang of
every call is the library's own lock hanging. A rule with a card also holds for finding its handle.
Of several rules of one kind that hold, the first is used.
"""

import hashlib
import itertools
import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.nvml.profiles import H100, NO_ENERGY, WITH_MIG, Profile
from tests.nvml.timeline import NS, Timeline, nanoseconds, seconds_text

SONAME = "libnvidia-ml.so.1"
SCRIPT_VARIABLE = "GPUFIN_NVML_SCRIPT"
POLL_SECONDS = 0.005
"""The library looks at its script file no more often than this."""

GPU_IS_LOST = 15
NOT_SUPPORTED = 3
UNINITIALIZED = 1

INIT_CALLS = ("nvmlInitWithFlags", "nvmlInit_v2")

_PJ_PER_MJ = 1_000_000_000
_COUNTER = struct.Struct("56sQ")
_SOURCES = Path(__file__).parent
_FLAGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Werror", "-shared", f"-Wl,-soname,{SONAME}", "-Wl,-z,defs"),
)


# Building


def build(directory: Path, without: Iterable[str] = ()) -> Path:
    """Compile the library into a directory unless it is there already.

    Args:
        directory: where to put `libnvidia-ml.so.1`; created if needed. Give each set of `without`
            a directory of its own.
        without: symbols to leave out, as an old driver does not have them:
            `{"nvmlDeviceGetMemoryInfo_v2"}` is a driver before 510.

    Returns:
        The path of the library file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    library, stamp = directory / SONAME, directory / f"{SONAME}.sha256"
    hidden = sorted(without)
    sources = sorted(_SOURCES.glob("*.c"))
    content = b"".join(path.read_bytes() for path in sorted(_SOURCES.glob("*.[ch]")))
    digest = hashlib.sha256(content + repr((_FLAGS, hidden)).encode()).hexdigest()
    if library.exists() and stamp.exists() and stamp.read_text() == digest:
        return library
    # Compiled aside and renamed: several test processes may build at once, and a process that has
    # the old file mapped keeps it.
    with tempfile.TemporaryDirectory(dir=directory) as workplace:
        made = Path(workplace) / SONAME
        command = ["gcc", *_FLAGS, *map(str, sources), "-o", str(made), "-lpthread"]
        if hidden:
            exports = Path(workplace) / "exports"
            exports.write_text("{ local: " + "".join(f"{name}; " for name in hidden) + "};\n")
            command.append(f"-Wl,--version-script={exports}")
        subprocess.run(command, check=True)
        made.replace(library)
    _write_atomically(stamp, digest)
    return library


def environment(library_dir: Path, script_path: Path) -> dict[str, str]:
    """Variables to add to the environment of a process, before it starts."""
    search = [str(library_dir), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return {"LD_LIBRARY_PATH": os.pathsep.join(search), SCRIPT_VARIABLE: str(script_path)}


def read_counters(path: Path) -> dict[str, int]:
    """Calls so far by symbol, over all processes that used the file.

    `blocked` is the number of calls hanging right now (a killed process leaves its own behind).
    A file that no call has created yet reads as empty.
    """
    content = path.read_bytes() if path.exists() else b""
    whole = content[: len(content) // _COUNTER.size * _COUNTER.size]
    return {
        name.rstrip(b"\0").decode(): value for name, value in _COUNTER.iter_unpack(whole) if name[0]
    }


def _write_atomically(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    # mkstemp makes the file private; a service under test may run as another user.
    Path(name).chmod(0o644)
    Path(name).replace(path)


# Cards


@dataclass
class EnergyEvent:
    """Something the energy counter does that the card's power does not explain."""

    kind: str
    from_ns: int
    until_ns: int | None = None
    millijoules: int = 0
    mode: str = "lose"

    def covers(self, at_ns: int) -> bool:
        """True within [from, until)."""
        return self.from_ns <= at_ns and (self.until_ns is None or at_ns < self.until_ns)


@dataclass(eq=False)
class Card:
    """One card of a script. Change its attributes, then write the script.

    `number` names the card in the script and in `Script.fail` and the like; its place in the
    enumeration is its place in `Script.order`.
    """

    number: int
    profile: Profile
    uuid: str
    bus_id: str
    serial: str
    name: str
    power: Timeline
    """Milliwatts; what the energy counter sums."""
    gpu_utilization: Timeline
    """Percent."""
    memory_utilization: Timeline
    """Percent of time, not of bytes."""
    memory: Timeline
    """Bytes used as nvidia-smi shows them: without the reserve that version 1 adds."""
    temperature: Timeline
    """Degrees Celsius, of the chip and of the memory where it has a sensor."""
    power_limit_mw: int
    unsupported: frozenset[str]
    power_window_ms: int = 0
    """nvmlDeviceGetPowerUsage is the mean over this; 0 instant. 1000 is right for the H100, the
    L40S and the RTX 4090; field 185 is always the mean over a second, field 186 instant."""
    energy_base_mj: int = 0
    """The counter at the epoch, until its first reset."""
    energy_step_ms: int = 0
    """The counter moves in steps of this; real ones in 10 to 100 ms."""
    mig: bool = False
    mig_profiles: tuple[str, ...] = ()
    """Profiles of its instances by slot, such as `1g.10gb`; `-` is an empty slot."""
    energy_events: list[EnergyEvent] = field(default_factory=list)

    def set_power(self, milliwatts: int, at: float) -> None:
        """Constant power from `at` seconds on; the past stays as it was."""
        self.power = self.power.then(at, milliwatts)

    def reset_energy(self, at: float) -> None:
        """The counter restarts from 0, as after a GPU reset."""
        self.energy_events.append(EnergyEvent("reset", nanoseconds(at)))

    def jump_energy(self, at: float, millijoules: int) -> None:
        """The counter is wrong by this much from `at` seconds to its next restart."""
        event = EnergyEvent("jump", nanoseconds(at), millijoules=millijoules)
        self.energy_events.append(event)

    def freeze_energy(self, at: float, until: float | None = None, mode: str = "lose") -> None:
        """The counter stands still over [at, until).

        Mode `lose` goes on from there, `catch_up` jumps to what it would have been. Freezes of one
        card must not overlap.
        """
        until_ns = None if until is None else nanoseconds(until)
        self.energy_events.append(EnergyEvent("freeze", nanoseconds(at), until_ns, mode=mode))

    def without_energy(self) -> None:
        """The counter is not supported."""
        self.unsupported |= NO_ENERGY

    def enable_mig(self, *profiles: str) -> None:
        """MIG mode: utilisation of the whole card is not supported."""
        self.mig = True
        self.mig_profiles = profiles
        self.unsupported |= WITH_MIG

    def used_mj(self, start: float, end: float) -> float:
        """Energy truly used between two times: the integral of the power, millijoules."""
        picojoules = self.power.integral(nanoseconds(end)) - self.power.integral(nanoseconds(start))
        return picojoules / _PJ_PER_MJ

    def energy_mj(self, at: float, restarts: Iterable[float] = ()) -> int:
        """What the energy counter shows at a time, millijoules.

        `restarts` are driver reloads, which `Script.energy_mj` fills in.
        """
        at_ns = self._shown_ns(nanoseconds(at))
        resets = [e.from_ns for e in self.energy_events if e.kind == "reset"]
        begins = [ns for ns in (*resets, *map(nanoseconds, restarts)) if ns <= at_ns]
        origin = max([0, *begins])
        millijoules = 0 if begins else self.energy_base_mj
        picojoules = self.power.integral(at_ns) - self.power.integral(origin)
        for event in self.energy_events:
            if event.kind == "jump" and origin <= event.from_ns <= at_ns:
                millijoules += event.millijoules
            if event.kind == "freeze" and event.mode == "lose":
                picojoules -= self._frozen_pj(event, origin, at_ns)
        # Towards zero, as C divides. Negative sums (a jump down) show as 0.
        whole = abs(picojoules) // _PJ_PER_MJ * (1 if picojoules >= 0 else -1)
        return max(0, millijoules + whole)

    def _shown_ns(self, at_ns: int) -> int:
        held = [
            e.from_ns
            for e in self.energy_events
            if e.kind == "freeze" and e.mode == "catch_up" and e.covers(at_ns)
        ]
        shown = min([at_ns, *held])
        step = self.energy_step_ms * 1_000_000
        return shown - shown % step if step and shown > 0 else shown

    def _frozen_pj(self, event: EnergyEvent, origin: int, at_ns: int) -> int:
        begin = max(event.from_ns, origin)
        end = at_ns if event.until_ns is None else min(event.until_ns, at_ns)
        return self.power.integral(end) - self.power.integral(begin) if begin < end else 0

    def _lines(self, index: int) -> list[str]:
        profile = self.profile
        lowest, default, highest = profile.power_limits_mw
        words: dict[str, object] = {
            "index": index,
            "name": self.name,
            "uuid": self.uuid,
            "serial": self.serial,
            "bus_id": self.bus_id,
            "pci_device": profile.pci_device,
            "architecture": profile.architecture,
            "capability_major": profile.capability[0],
            "capability_minor": profile.capability[1],
            "memory_total": profile.memory_total,
            "memory_reserved": profile.memory_reserved,
            "bar1_total": profile.bar1_total,
            "limit": self.power_limit_mw,
            "limit_default": default,
            "limit_min": lowest,
            "limit_max": highest,
            "power_window_ms": self.power_window_ms,
            "clock_idle": profile.clock_idle,
            "clock_max": profile.clock_max,
            "clock_memory": profile.clock_memory,
            "clock_video": profile.clock_video,
            "links": profile.links,
            "mig": int(self.mig),
            "mig_profiles": ",".join(self.mig_profiles),
            "energy_base": self.energy_base_mj,
            "energy_step_ms": self.energy_step_ms,
            "unsupported": ",".join(sorted(self.unsupported)),
        }
        timelines = {
            "power": self.power,
            "gpu_utilization": self.gpu_utilization,
            "memory_utilization": self.memory_utilization,
            "memory": self.memory,
            "temperature": self.temperature,
        }
        return [
            _line_of("card", {"card": self.number, **words}),
            *(f"timeline card={self.number} of={n}{t.text()}" for n, t in timelines.items()),
            *(self._event_line(event) for event in self.energy_events),
        ]

    def _event_line(self, event: EnergyEvent) -> str:
        words: dict[str, object] = {"event": event.kind, "card": self.number}
        words["from"] = seconds_text(event.from_ns)
        if event.until_ns is not None:
            words["until"] = seconds_text(event.until_ns)
        if event.kind == "jump":
            words["millijoules"] = event.millijoules
        if event.kind == "freeze":
            words["mode"] = event.mode
        return _line_of("energy", words)


def _encode(value: object) -> str:
    return quote(str(value), safe=":/,*")


def _line_of(directive: str, words: dict[str, object]) -> str:
    return " ".join([directive, *(f"{key}={_encode(value)}" for key, value in words.items())])


# The script


@dataclass(eq=False)
class Entry:
    """A line of the script that can be taken back with `Script.remove`, or given an end."""

    directive: str
    words: dict[str, object]
    card: Card | None = None
    begin: float | None = None
    """Seconds since the epoch; None: always."""
    until: float | None = None
    """Seconds since the epoch; None: for ever."""

    def text(self) -> str:
        """The line."""
        words = dict(self.words)
        if self.card is not None:
            words["card"] = self.card.number
        if self.begin is not None:
            words["from"] = seconds_text(nanoseconds(self.begin))
        if self.until is not None:
            words["until"] = seconds_text(nanoseconds(self.until))
        return _line_of(self.directive, words)


class Script:
    """Builds and rewrites one script file.

    Changes take effect with `write`, atomically and all together, within `POLL_SECONDS`. The epoch
    is the moment of construction, so `now` counts from there; with `from_process_start` it is the
    start of each process that loads the library, and `now` cannot be asked.
    """

    def __init__(self, path: Path, *, from_process_start: bool = False) -> None:
        self.path = path
        self.order: list[Card] = []
        """The enumeration, read by a process when it initialises. A card not in it has vanished."""
        self.fixed_time: float | None = None
        """Seconds since the epoch (not negative) at which scripted time stands still; None: it
        passes. Delays,
        hangs' polling and process samples go on in real time."""
        self.driver_version = "590.48.01"
        self.nvml_version = "13.590.48.01"
        self.cuda_version = 13010
        self.counters: Path | None = None
        """File for the calls per symbol; see `read_counters`."""
        self._from_process_start = from_process_start
        self._epoch_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._cards: list[Card] = []
        self._entries: list[Entry] = []
        self._reloads: list[Entry] = []
        self._identities = itertools.count()

    def now(self) -> float:
        """Seconds since the epoch, or the fixed time."""
        if self._from_process_start:
            raise ValueError("each process has its own epoch")
        if self.fixed_time is not None:
            return self.fixed_time
        return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._epoch_ns) / NS

    def add(
        self,
        profile: Profile = H100,
        *,
        power_mw: int | None = None,
        gpu_utilization: int = 0,
        memory_utilization: int = 0,
        memory: int = 0,
        uuid: str | None = None,
    ) -> Card:
        """Add a card at the end of the enumeration, idle unless said otherwise."""
        number = len(self._cards)
        card = Card(
            number=number,
            profile=profile,
            uuid=uuid or f"GPU-{0x10000000 + number:08x}-5c21-4e0a-9d3b-0000000000{number:02x}",
            bus_id=f"00000000:{0x10 + number:02X}:00.0",
            serial=f"16500000000{number:02d}",
            name=profile.name,
            power=Timeline.constant(profile.idle_power_mw if power_mw is None else power_mw),
            gpu_utilization=Timeline.constant(gpu_utilization),
            memory_utilization=Timeline.constant(memory_utilization),
            memory=Timeline.constant(memory),
            temperature=Timeline.constant(profile.idle_temperature),
            power_limit_mw=profile.power_limits_mw[1],
            unsupported=profile.unsupported,
        )
        self._cards.append(card)
        self.order.append(card)
        return card

    def energy_mj(self, card: Card, at: float) -> int:
        """What a card's energy counter shows at a time, driver reloads included."""
        return card.energy_mj(at, [e.begin for e in self._reloads if e.begin is not None])

    def process(
        self,
        card: Card,
        pid: int,
        memory: int | None,
        *,
        kind: str = "compute",
        sm: int | None = None,
        memory_utilization: int = 0,
        sample_age: float = 0.0,
        begin: float | None = None,
        until: float | None = None,
    ) -> Entry:
        """A process on a card.

        Args:
            card: the card.
            pid: its process id.
            memory: bytes; None is "not available".
            kind: compute, graphics or mps; a process of two kinds is added twice.
            sm: percent of its utilisation samples; None: it has no samples. Not checked, as real
                drivers have given 2147483632.
            memory_utilization: percent of its samples.
            sample_age: seconds by which the samples are stale.
            begin: seconds since the epoch.
            until: seconds since the epoch.
        """
        words: dict[str, object] = {"pid": pid, "type": kind}
        words["memory"] = "unknown" if memory is None else memory
        if sm is not None:
            words |= {"sm": sm, "mem": memory_utilization}
            words["age"] = seconds_text(nanoseconds(sample_age))
        return self._enter(Entry("process", words, card, begin, until))

    def fail(
        self,
        call: str = "*",
        *,
        code: int,
        card: Card | None = None,
        begin: float | None = None,
        until: float | None = None,
        count: int | None = None,
    ) -> Entry:
        """A call answers a return code; `count` limits it to the next calls of each process.

        `call` is a symbol, `field:N` for one field of nvmlDeviceGetFieldValues, or `*`. Code 0
        answers success and writes nothing into the caller's memory.
        """
        words: dict[str, object] = {"call": call, "code": code}
        if count is not None:
            words |= {"count": count, "id": f"rule{next(self._identities)}"}
        return self._enter(Entry("fail", words, card, begin, until))

    def driver_fails(
        self, code: int, *, begin: float | None = None, until: float | None = None
    ) -> list[Entry]:
        """Initialising fails: 9 driver not loaded, 18 version mismatch, 4 no permission.

        A session that is open goes on, as a kernel module in use cannot be unloaded.
        """
        return [self.fail(call, code=code, begin=begin, until=until) for call in INIT_CALLS]

    def reload_driver(
        self, at: float, *, code: int = UNINITIALIZED, upgraded: bool = False
    ) -> Entry:
        """The driver is unloaded and loaded again, and every energy counter restarts.

        Sessions begun before answer `code` to everything until they initialise again. With
        `upgraded`, a process that loaded the library before cannot: it gets 18 until it ends.
        """
        entry = Entry("reload", {"at": seconds_text(nanoseconds(at)), "code": code}, begin=at)
        entry.words["upgraded"] = int(upgraded)
        self._reloads.append(entry)
        return entry

    def latency(
        self,
        call: str = "*",
        *,
        ms: float,
        card: Card | None = None,
        begin: float | None = None,
        until: float | None = None,
    ) -> Entry:
        """A call takes this long; other calls go on meanwhile."""
        words: dict[str, object] = {"call": call, "us": round(ms * 1000)}
        return self._enter(Entry("latency", words, card, begin, until))

    def hang(
        self,
        call: str = "*",
        *,
        card: Card | None = None,
        begin: float | None = None,
        until: float | None = None,
    ) -> Entry:
        """A call does not return until its time is over, the entry or the script file removed."""
        return self._enter(Entry("hang", {"call": call}, card, begin, until))

    def hang_library(self) -> Entry:
        """Every call hangs, on whatever card or none: the library's own lock is held for ever."""
        return self.hang()

    def lose(self, card: Card, *, begin: float | None = None, until: float | None = None) -> Entry:
        """Every call on a card answers GPU_IS_LOST, finding its handle included.

        A session that has been open at any moment of the loss stays without the card to its end.
        """
        return self._enter(Entry("lost", {}, card, begin, until))

    def bring_back(self, card: Card, *, at: float | None = None, index: int | None = None) -> None:
        """End a card's losses at a time (None: now), at another place in the enumeration if given.

        Also brings back a vanished card. Seen by sessions that begin from then on.
        """
        for entry in self._entries:
            if entry.directive == "lost" and entry.card is card and entry.until is None:
                entry.until = self.now() if at is None else at
        if card in self.order and index is None:
            return
        self.vanish(card)
        self.order.insert(len(self.order) if index is None else index, card)

    def vanish(self, card: Card) -> None:
        """A card is no longer enumerated; to sessions that have it, it is lost."""
        if card in self.order:
            self.order.remove(card)

    def remove(self, *entries: Entry) -> None:
        """Take back what a method returned."""
        self._entries = [e for e in self._entries if e not in entries]
        self._reloads = [e for e in self._reloads if e not in entries]

    def text(self) -> str:
        """The script as the library reads it."""
        epoch: dict[str, object] = {"boottime_ns": self._epoch_ns}
        if self._from_process_start:
            epoch = {"process_start": 1}
        if self.fixed_time is not None:
            epoch["fixed"] = seconds_text(nanoseconds(self.fixed_time))
        versions: dict[str, object] = {
            "driver": self.driver_version,
            "nvml": self.nvml_version,
            "cuda": self.cuda_version,
        }
        lines = [_line_of("epoch", epoch), _line_of("versions", versions)]
        if self.counters is not None:
            lines.append(_line_of("counters", {"path": self.counters}))
        for card in self._cards:
            lines += card._lines(self.order.index(card) if card in self.order else -1)
        lines += [_line_of("reload", entry.words) for entry in self._reloads]
        lines += [entry.text() for entry in self._entries]
        return "\n".join(lines) + "\n"

    def write(self) -> None:
        """Put the script in place, atomically."""
        _write_atomically(self.path, self.text())

    def settle(self) -> None:
        """Write, and wait until every process must have noticed."""
        self.write()
        time.sleep(2 * POLL_SECONDS)

    def _enter(self, entry: Entry) -> Entry:
        self._entries.append(entry)
        return entry
