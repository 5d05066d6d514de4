"""The console script `fsmend-agent`: names the missing extra when the agent's dependencies are not installed."""

import importlib.util
import sys
from types import ModuleType


def main() -> int:
    """Run the command line."""
    if importlib.util.find_spec("_cffi_backend") is None:
        sys.stderr.write("fsmend-agent: the agent is not installed; install it with: pip install 'fsmend[agent]'\n")
        return 1
    if sys.argv[1:2] == ["sense"]:
        stay_small()
    from fsmend_agent.cli import main as run  # noqa: PLC0415  its imports need the extra

    return run()


def stay_small() -> None:
    """Keep out of `sense` what is imported on its behalf and never used: 7 MiB of 31 (CPython 3.11, protobuf 7.36).

    asyncio and hashlib take `ssl` and `_hashlib` when they are there, and do without when not: `sense` has no TLS, and
    the interpreter's own SHA-2 is fast enough. protobuf imports its pure Python messages even where its C ones serve.
    """
    for name in ("ssl", "_ssl", "_hashlib"):
        sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
    from google.protobuf.internal import api_implementation  # noqa: PLC0415  decides by what is installed

    if api_implementation.Type() == "upb":
        unused = "google.protobuf.internal.python_message"
        sys.modules[unused] = ModuleType(unused)
