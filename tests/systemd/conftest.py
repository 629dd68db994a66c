"""One lab for all tests here, with the agent installed in it as an operator would, and running."""

from collections.abc import Iterator

import pytest

from tests.nvml.library import Script, build
from tests.nvml.profiles import H100
from tests.systemd.lab import HERE, REPOSITORY, Lab, agent_wheel, booted, locked_wheels, tree
from tests.systemd.service import Service

NVML = {"LD_LIBRARY_PATH": "/mnt/nvml", "GPUFIN_NVML_SCRIPT": "/mnt/script/cards"}
CONFIG = """
currency: USD
prices:
  - id: h100
    kind: rented
    price_per_gpu_hour: 3
    match: {model: "NVIDIA H100*"}
"""

# What no operator has: the scripted NVML library, a probe that tells what the sandbox allows, and
# no patience: that the agent comes back is proven by a short wait as well.
DROP_IN = f"""
[Service]
RestartSec=500ms
Environment={" ".join(f"{k}={v}" for k, v in NVML.items())}
ExecStartPre=/usr/bin/python3 /mnt/tests/probe.py ${{STATE_DIRECTORY}}/probe.json \
  /dev/nvidiactl:rw /dev/nvidia0:rw /dev/nvidia1:rw /dev/other:rw /etc/gpufin/config.yaml:r \
  /etc/new:new /opt/gpufin/new:new /var/lib/new:new /tmp/gpufin-new:new /home/someone/readable:r
"""


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Script:
    """Two H100s, one at work and one held by a process that does nothing."""
    script = Script(tmp_path_factory.mktemp("script") / "cards")
    script.add(H100, gpu_utilization=90, power_mw=600_000)
    script.process(script.add(H100), pid=4242, memory=60 << 30)
    script.write()
    return script


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, script: Script) -> Iterator[Lab]:
    base = tree()
    wheels = locked_wheels(base)
    ours = agent_wheel(tmp_path_factory.mktemp("wheel"))
    nvml = build(base.parent / "nvml").parent
    script.path.parent.chmod(0o755)  # the unit's user has to get in
    console = tmp_path_factory.mktemp("lab") / "console"
    mounts = {
        wheels: "/mnt/wheels",
        ours: "/mnt/wheel",
        nvml: "/mnt/nvml",
        script.path.parent: "/mnt/script",
        HERE: "/mnt/tests",
        REPOSITORY / "deploy/systemd": "/mnt/deploy",
    }
    with booted(console, mounts) as lab:
        install(lab)
        yield lab


def install(lab: Lab) -> None:
    # The venv gets no pip of its own: unpacking one takes longer than all the rest.
    lab.run("python3", "-m", "venv", "--without-pip", "/opt/gpufin")
    lab.run("pip", "--python=/opt/gpufin", "install", "--quiet", "--no-index",
            "--find-links=/mnt/wheels", "--find-links=/mnt/wheel", "gpufin")  # fmt: skip
    lab.write("/etc/gpufin/config.yaml", CONFIG)
    lab.write("/etc/systemd/system/gpufin.service.d/test.conf", DROP_IN)
    lab.run("install", "-m", "644", "/mnt/deploy/gpufin.service", "/etc/systemd/system/")
    lab.write("/home/someone/readable", "by anybody")
    # A device that the unit has no business with.
    lab.run("mknod", "-m", "666", "/dev/other", "c", "190", "0")
    lab.run("systemctl", "daemon-reload")
    Service(lab).systemctl("enable")
    Service(lab).systemctl("start")  # if this fails, so do all tests, at once and with its reason


@pytest.fixture
def service(lab: Lab) -> Service:
    """The unit, running whatever the test before did to it."""
    service = Service(lab)
    service.systemctl("start")
    return service
