"""Runs in the unit's sandbox: what does it get to do? Usage: probe.py RESULT PATH:MODE ..."""

import ctypes
import errno
import json
import os
import sys
from pathlib import Path

FLAGS = {"r": os.O_RDONLY, "rw": os.O_RDWR, "new": os.O_WRONLY | os.O_CREAT}


def opened(path: str, mode: str) -> str:
    try:
        os.close(os.open(path, FLAGS[mode] | os.O_CLOEXEC))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def clock_state() -> str:
    """What adjtimex(2) says when nothing is to be changed: 0 to 5, or -1 if it may not be asked."""
    return str(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256)))


if __name__ == "__main__":
    result, *questions = sys.argv[1:]
    answers = {path: opened(path, mode) for path, mode in (q.split(":") for q in questions)}
    answers["clock"] = clock_state()
    Path(result).write_text(json.dumps(answers))
