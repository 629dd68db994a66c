"""Repeatable chance: the same key gives the same outcome, on any machine, in any order."""

import hashlib

Key = int | str


def chance(*key: Key) -> int:
    """A whole number from 0 to 2**64 - 1, evenly spread over keys."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def between(low: int, high: int, *key: Key) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    return low + chance(*key) % (high - low + 1)


def shuffled(count: int, *key: Key) -> list[int]:
    """The numbers from 0 to ``count - 1`` in the order that ``key`` decides."""
    digest = hashlib.shake_256(repr(key).encode()).digest(4 * count)
    return sorted(range(count), key=lambda number: digest[4 * number : 4 * number + 4])
