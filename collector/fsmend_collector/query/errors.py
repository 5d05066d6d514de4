"""The errors of the command line: what is wrong, where, and what to do next, in one or two lines.

click.ClickException
 ├── QueryError            exit status 1: the collector, the connection or the object asked for
 └── click.UsageError      exit status 2: the command line itself
"""

import contextlib
from collections.abc import Iterator

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


@contextlib.contextmanager
def refuse_other_bytes() -> Iterator[None]:
    """Turn an argument that was used as text and is not UTF-8, which no message or database takes, into wrong usage.

    Not when the arguments are read: names of files and mount points may be any bytes, and are never used as text.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        if not any("\udc80" <= character <= "\udcff" for character in error.object):  # as os.fsdecode keeps bytes
            raise
        raise click.UsageError(f"'{visible(error.object)}' is not UTF-8") from None
