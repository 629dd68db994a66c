"""A value, or the reason why there is none: missing is never zero."""

from enum import StrEnum
from typing import TypeAlias, TypeVar, Union

T = TypeVar("T")


class Missing(StrEnum):
    """Why a reading has no value."""

    NOT_SUPPORTED = "not_supported"
    NO_PERMISSION = "no_permission"
    NO_DATA = "no_data"
    TIMEOUT = "timeout"
    FAILED = "failed"


Reading: TypeAlias = Union[T, Missing]  # noqa: UP007 - mypy wants the long form for T
"""A value in the unit its name says, or why it is missing."""
