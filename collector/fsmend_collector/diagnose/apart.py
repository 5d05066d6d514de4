"""Apart: a replay in a process of its own, so that the collector's loop and memory stay the collector's.

The parent writes one JSON document to the child's stdin and reads frames from its stdout: four bytes of length, a
DiagnoseAgainReply; an empty one ends it well. What goes wrong stands on stderr, for the operator. A child whose parent
has gone ends with its next frame.
"""

import asyncio
import contextlib
import json
import os
import resource
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

from fsmend_collector.diagnose.again import MOST_BYTES, MOST_SECONDS, Again, ReplayFailed
from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnose.tables import read_tables
from fsmend_collector.errors import CollectorError
from fsmend_collector.store.engine import make_engine
from fsmend_proto.v1 import why_pb2

_LENGTH = struct.Struct(">I")
_LARGEST_FRAME = 16 << 20
_NICE = 10
_STDERR_KEPT = 2_000
# The child minds its own bounds; these are for what it does in one piece.
_GRACE_SECONDS = 60.0
_LARGEST_BYTES = 2 * MOST_BYTES


async def diagnose_again(
    store_url: str, tables: dict[str, Any], since_ns: int, until_ns: int
) -> AsyncGenerator[why_pb2.DiagnoseAgainReply, None]:
    """Yield what the child tells; when the caller stops, the child ends.

    Args:
        store_url: of the store.
        tables: of a configuration, checked.
        since_ns: incidents that began at or after this are compared.
        until_ns: and before this.

    Raises:
        ReplayFailed: it could not be done.
    """
    pipe = asyncio.subprocess.PIPE
    arguments = (sys.executable, "-m", "fsmend_collector.diagnose.apart")
    child = await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe, stderr=pipe)
    assert child.stdin is not None  # noqa: S101  pipes, tells mypy
    assert child.stdout is not None  # noqa: S101
    assert child.stderr is not None  # noqa: S101
    said = asyncio.create_task(child.stderr.read())
    over_at = asyncio.get_running_loop().time() + MOST_SECONDS + _GRACE_SECONDS
    ended_well = False
    try:
        wanted = {"store_url": store_url, "tables": tables, "since_ns": since_ns, "until_ns": until_ns}
        child.stdin.write(json.dumps(wanted).encode())
        child.stdin.close()
        async for frame in _frames(child.stdout, over_at):
            ended_well = not frame
            if frame:
                yield why_pb2.DiagnoseAgainReply.FromString(frame)
        if not ended_well:
            raise ReplayFailed((await said).decode(errors="replace").strip()[-_STDERR_KEPT:] or "the replay was ended")
    finally:
        if not ended_well:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        await child.wait()
        said.cancel()
        await asyncio.gather(said, return_exceptions=True)


async def _frames(stream: asyncio.StreamReader, over_at: float) -> AsyncIterator[bytes]:
    """Yield what the child sends.

    Raises:
        ReplayFailed: the time is over, of the event loop's clock.
    """
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            try:
                async with asyncio.timeout_at(over_at):
                    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
                    frame = await stream.readexactly(min(length, _LARGEST_FRAME))
            except TimeoutError:
                text = f"diagnosing this time again takes longer than {MOST_SECONDS:.0f} s"
                raise ReplayFailed(f"{text}\nchoose a later --since") from None
            yield frame


def _tell(reply: why_pb2.DiagnoseAgainReply) -> None:
    data = reply.SerializeToString()
    sys.stdout.buffer.write(_LENGTH.pack(len(data)) + data)
    sys.stdout.buffer.flush()


def _give_way() -> None:
    """Stand behind the collector for the processor, and before it for the killer when memory runs out."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (_LARGEST_BYTES, _LARGEST_BYTES))


def main() -> int:
    """Do one replay, as stdin asks for it."""
    wanted = json.load(sys.stdin)
    _give_way()
    config, groups, _ = read_tables(wanted["tables"])
    engine = make_engine(wanted["store_url"], writes=False)
    following = Following(config, groups)
    try:
        Again(engine, following, wanted["since_ns"], wanted["until_ns"], _tell).run()
    except CollectorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except MemoryError:
        mib = _LARGEST_BYTES >> 20
        sys.stderr.write(f"diagnosing this time again needs more than {mib} MiB\nchoose a later --since\n")
        return 1
    finally:
        engine.dispose()
    _tell(why_pb2.DiagnoseAgainReply())
    return 0


if __name__ == "__main__":
    sys.exit(main())
