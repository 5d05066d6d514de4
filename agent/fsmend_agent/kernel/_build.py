"""Generate `_ffi.py` from `_cdef.py` (cffi, ABI mode, out of line).

Run `python -m fsmend_agent.kernel._build` after every change of `_cdef.py`, and commit the result: at run time the
agent loads the finished tables, without a C parser and without a compiler (8 MB of memory instead of 14).
`--check` writes nothing and ends with status 1 when the committed file is out of date.
"""

import sys
import tempfile
from pathlib import Path

import cffi

from fsmend_agent.kernel._cdef import CDEF

TARGET = Path(__file__).with_name("_ffi.py")


def generate() -> str:
    """Return the text of `_ffi.py`."""
    ffi = cffi.FFI()
    ffi.cdef(CDEF)
    ffi.set_source("fsmend_agent.kernel._ffi", None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "_ffi.py")
        ffi.emit_python_code(str(path))
        return path.read_text(encoding="ascii")


def main(arguments: list[str]) -> int:
    """Write `_ffi.py`, or with `--check` compare it; return the exit status."""
    if arguments == ["--check"]:
        if TARGET.read_text(encoding="ascii") == generate():
            return 0
        sys.stderr.write("kernel/_ffi.py is out of date: run `python -m fsmend_agent.kernel._build`\n")
        return 1
    TARGET.write_text(generate(), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
