"""What the story prints: steps, the CLI's own answers, and results, in plain lines."""

import subprocess
import sys
import time

from stage.processes import BIN, Stage


class Narrator:
    """Print the story; every line that comes from fsmend is shown with the command that asks for it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """Begin a step."""
        self._print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}")

    def say(self, text: str) -> None:
        """Add a line to the step."""
        self._print(f"   {text}")

    def show(self, *arguments: str, lines: int = 100) -> None:
        """Run a command of the CLI as a person would, and show both: the command, and the first lines it prints."""
        self._print(f"   $ fsmend {' '.join(arguments)}")
        done = subprocess.run(
            [str(BIN / "fsmend"), *arguments],
            env=self._stage.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed = done.stdout.splitlines()
        for line in printed[:lines]:
            self._print(f"     {line}".rstrip())
        if len(printed) > lines:
            self._print(f"     … {len(printed) - lines} more lines")

    def seconds(self) -> float:
        """Return how long the story has been told."""
        return time.monotonic() - self._began

    @staticmethod
    def _print(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
