"""The throw-away Debian of lab.sh, and what the tests put into it."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
LAB = HERE / "lab.sh"
COMMAND_SECONDS = 60
LAB_SECONDS = 420
"""Most that a lab lives: for when nobody is left who could end it."""


@dataclass(frozen=True)
class Lab:
    """A running lab, known by the PID of its init."""

    init: str

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root; a failure shows what it said."""
        done = subprocess.run(
            [LAB, "exec", self.init, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}"
            raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{said}")
        return done

    def out(self, *command: str) -> str:
        return self.run(*command).stdout.strip()

    def write(self, path: str, text: str) -> None:
        self.run("install", "-D", "-m", "644", "/dev/null", path)
        self.run("bash", "-c", 'printf %s "$0" >"$1"', text, path)


def tree() -> Path:
    """The cached tree that labs boot from; made now if there is none."""
    made = subprocess.run([LAB, "build"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


@contextmanager
def booted(console: Path, mounts: dict[Path, str]) -> Iterator[Lab]:
    """A lab with ``mounts`` (here to there, read-only) and two NVIDIA cards' device nodes."""
    environment = os.environ | {"LAB_SECONDS": str(LAB_SECONDS), "LAB_GPUS": "2"}
    binds = [f"{here}:{there}" for here, there in mounts.items()]
    with (
        console.open("w") as log,
        subprocess.Popen(
            [LAB, "boot", *binds],
            stdin=subprocess.PIPE,  # the lab ends with it, so it ends with us
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        ) as process,
    ):
        assert process.stdout
        assert process.stdin
        init = process.stdout.readline().strip()
        assert init, f"the lab does not boot:\n{console.read_text()[-2000:]}"
        try:
            yield Lab(init)
        finally:
            process.stdin.close()
            process.wait(30)


def locked_wheels(tree: Path) -> Path:
    """What requirements.lock names, as wheels for the tree's Python; downloaded once for each lock."""
    lock = REPOSITORY / "requirements.lock"
    python = (tree / "usr/bin/python3").readlink().name.removeprefix("python")
    key = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    wheels = tree.parent / f"wheels-{python}-{key}"
    if not wheels.is_dir():
        partial = wheels.with_suffix(f".{os.getpid()}")
        machine = platform.machine()
        tags = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
        platforms = [f"--platform={tag}_{machine}" for tag in tags]
        pip("download", "--only-binary=:all:", "--no-deps", f"--python-version={python}", *platforms,
            "--require-hashes", "-r", str(lock), "-d", str(partial))  # fmt: skip
        partial.rename(wheels)
    return wheels


def agent_wheel(directory: Path) -> Path:
    """The agent as it would be shipped; returns the directory that holds its wheel."""
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(directory), str(REPOSITORY))
    return directory


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"pip {arguments[0]}: {done.stderr}"
