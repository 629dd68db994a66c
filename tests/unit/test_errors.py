"""Of agent.errors."""

from agent.errors import ConfigError, DriverError, Fault, GpuError, GpufinError


def test_fault_names_file_key_and_problem() -> None:
    """A fault reads as file, key, problem; without a key it is the file's own."""
    assert str(Fault("a.yaml", "prices[0].id", "is missing")) == "a.yaml: prices[0].id: is missing"
    assert str(Fault("a.yaml", "", "is not YAML")) == "a.yaml: is not YAML"


def test_config_error_holds_every_fault() -> None:
    """Each fault stands on a line of its own."""
    faults = [Fault("a", "b", "c"), Fault("d", "e", "f")]

    error = ConfigError(faults)

    assert error.faults == faults
    assert str(error).splitlines() == ["a: b: c", "d: e: f"]


def test_driver_and_gpu_errors_show_their_code() -> None:
    """The NVML code is told where there is one, and every error is ours."""
    assert str(DriverError("gone", code=999)) == "gone (NVML code 999)"
    assert str(DriverError("gone")) == "gone"
    assert str(GpuError("lost", code=15, lost=True)) == "lost (NVML code 15)"
    assert str(GpuError("lost")) == "lost"
    assert issubclass(ConfigError, GpufinError)
