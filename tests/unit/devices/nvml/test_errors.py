"""The map of NVML's codes, against the pynvml that is installed."""

from collections.abc import Iterator

import pynvml
import pytest

from agent.devices.nvml import binding
from agent.devices.nvml.errors import CODES, NvmlCallError, Scope, missing_or_raise, name_of
from agent.errors import DriverError, GpuError
from agent.samples.reading import Missing

PREFIX = "NVML_ERROR_"
TABLE = {
    name.removeprefix(PREFIX): value
    for name, value in vars(pynvml).items()
    if name.startswith(PREFIX) and isinstance(value, int)
}
MADE_UP = 424_242


def raising(error: Exception) -> None:
    raise error


def by_scope(scope: Scope) -> Iterator[int]:
    return (code for code, (_, reach, _) in CODES.items() if reach is scope)


def test_every_code_of_pynvml_has_its_name_here() -> None:
    """A new nvidia-ml-py with a new code fails this test, not a customer."""
    assert {code: name for name, code in TABLE.items()} == {
        code: name for code, (name, _, _) in CODES.items() if code != pynvml.NVML_SUCCESS
    }
    assert len(TABLE) > 30


@pytest.mark.parametrize("code", sorted(TABLE.values()))
def test_every_error_of_pynvml_arrives_with_its_code(code: int) -> None:
    """Pynvml's error objects, unhashable and uncomparable, do not get past the binding."""
    with pytest.raises(NvmlCallError) as caught:
        binding.call(raising, pynvml.NVMLError(code))
    assert caught.value.code == code
    assert hash(caught.value)
    assert (caught.value == None) is False  # noqa: E711 - pynvml's own raises here
    assert str(caught.value) == name_of(code)


def test_pynvmls_own_errors_still_are_the_trap_we_guard_against() -> None:
    """When this fails the guard can go: the error cannot be hashed and not be compared."""
    error = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    with pytest.raises(TypeError, match="unhashable"):
        hash(error)
    with pytest.raises(AttributeError):
        assert error == None  # noqa: E711 - the trap


def test_an_error_of_value_0_is_no_data() -> None:
    """Pynvml raises SUCCESS for a process query without samples; that is missing, not a fault."""
    with pytest.raises(NvmlCallError) as caught:
        binding.call(raising, pynvml.NVMLError(0))
    assert missing_or_raise(caught.value) is Missing.NO_DATA


def test_a_library_mismatch_is_a_version_not_understood() -> None:
    """NVMLLibraryMismatchError is no NVMLError, and must not end the reader."""
    assert not issubclass(pynvml.NVMLLibraryMismatchError, pynvml.NVMLError)
    with pytest.raises(NvmlCallError) as caught:
        binding.call(raising, pynvml.NVMLLibraryMismatchError("struct too new"))
    assert missing_or_raise(caught.value) is Missing.NOT_SUPPORTED


def test_garbage_instead_of_a_name_is_a_failed_call() -> None:
    """A name that is not UTF-8 is an unknown error of this call, no traceback."""
    with pytest.raises(NvmlCallError) as caught:
        binding.call(b"\xff\xfe".decode)
    assert missing_or_raise(caught.value) is Missing.FAILED


def test_a_defect_of_ours_is_not_taken_for_the_drivers() -> None:
    """Errors that are no driver's stay what they are."""
    with pytest.raises(TypeError):
        binding.call(raising, TypeError("wrong arguments"))


@pytest.mark.parametrize("code", sorted(by_scope(Scope.READING)))
def test_a_code_of_one_reading_takes_that_reading_alone(code: int) -> None:
    """Most failures make one reading missing, with a reason."""
    assert isinstance(missing_or_raise(NvmlCallError(code)), Missing)


@pytest.mark.parametrize("code", sorted(by_scope(Scope.CARD)))
def test_a_code_of_the_card_loses_it(code: int) -> None:
    """GPU_IS_LOST and RESET_REQUIRED end the card."""
    with pytest.raises(GpuError) as caught:
        missing_or_raise(NvmlCallError(code))
    assert (caught.value.lost, caught.value.code) == (True, code)


@pytest.mark.parametrize("code", sorted(by_scope(Scope.DRIVER)))
def test_a_code_of_the_driver_ends_the_session(code: int) -> None:
    """No card answers after these, and the library must be opened again."""
    with pytest.raises(DriverError) as caught:
        missing_or_raise(NvmlCallError(code))
    assert (caught.value.code, caught.value.restart) == (code, False)
    assert name_of(code) in str(caught.value)


def test_which_codes_reach_how_far() -> None:
    """The codes that exporters in the field learned to reopen for are the ones that do."""
    assert set(by_scope(Scope.CARD)) == {15, 16}
    assert set(by_scope(Scope.DRIVER)) == {1, 9, 12, 18, 28}


def test_a_code_from_the_future_is_one_failed_reading() -> None:
    """A code no table knows takes a reading, and its number is told."""
    assert missing_or_raise(NvmlCallError(MADE_UP)) is Missing.FAILED
    assert str(MADE_UP) in name_of(MADE_UP)
