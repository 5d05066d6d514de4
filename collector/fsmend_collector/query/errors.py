"""The errors of the command line: what is wrong, where, and what to do next, in one or two lines.

click.ClickException
 ├── QueryError            exit status 1: the collector, the connection or the object asked for
 └── click.UsageError      exit status 2: the command line itself
"""

import click

from fsmend_collector.query.render.escape import visible


class QueryError(click.ClickException):
    """Say what is wrong and what to do next; both may quote text from outside, so both are escaped.

    Attributes:
        retry: the same call may work in a moment.
    """

    def __init__(self, problem: str, advice: str = "", *, retry: bool = False) -> None:
        lines = [visible(line) for line in (problem, advice) if line]
        super().__init__("\n".join(lines))
        self.retry = retry
