"""The console script `fsmend-agent`: names the missing extra when the agent's dependencies are not installed."""

import importlib.util
import sys


def main() -> int:
    """Run the command line."""
    if importlib.util.find_spec("_cffi_backend") is None:
        sys.stderr.write("fsmend-agent: the agent is not installed; install it with: pip install 'fsmend[agent]'\n")
        return 1
    from fsmend_agent.cli import main as run  # noqa: PLC0415  its imports need the extra

    return run()
