"""The ledger: which epoch this spool lives in, how far the collector has it, and what was carried over into it.

One small JSON file with a checksum, replaced atomically. It is written before any segment that it makes needless is
unlinked; between two such moments acknowledgements live in memory only, and a crash costs no more than sending again.
"""

import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fsmend_agent.errors import SpoolError
from fsmend_agent.spool.crc32c import crc32c
from fsmend_agent.spool.files import read_bounded, replace_file
from fsmend_agent.spool.frame import MAX_SEQUENCE

NAME = "ledger"
_LIMIT_BYTES = 1 << 20  # a disk that comes and goes begins an epoch an hour; the collector may be away
_RETIRED_KEPT = 16


@dataclass(frozen=True, slots=True)
class Carried:
    """Records of an earlier epoch that live on, in the files they always had, under new sequences.

    Attributes:
        epoch: of the files.
        first: the first sequence there that lives on.
        last: the last one, inclusive.
        shift: a sequence there minus the same record's sequence here.
    """

    epoch: str
    first: int
    last: int
    shift: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger says.

    Attributes:
        epoch: 32 hex digits.
        durable_through: the spool may forget up to here.
        carried: what lives on from earlier epochs.
        retired: epochs that are over; segments of them are leftovers.
    """

    epoch: str
    durable_through: int = 0
    carried: tuple[Carried, ...] = ()
    retired: tuple[str, ...] = ()

    @classmethod
    def fresh(cls) -> "Ledger":
        """Return the ledger of a spool that begins."""
        return cls(uuid.uuid4().hex)

    def successor(self, next_sequence: int, kept: Collection[str]) -> "Ledger":
        """Return the ledger of a new epoch, in which what is not acknowledged goes on from sequence 1.

        Args:
            next_sequence: of the epoch that ends.
            kept: epochs of which there are files; others have nothing to carry, and must not add up here.
        """
        shift = self.durable_through
        first, last = shift + 1, next_sequence - 1
        carried = [
            replace(one, first=max(one.first, first + one.shift), shift=one.shift + shift)
            for one in self.carried
            if one.last - one.shift >= first and one.epoch in kept
        ]
        if first <= last and self.epoch in kept:
            carried.append(Carried(self.epoch, first, last, shift))
        retired = self._retired_without(carried, self.epoch)
        return replace(Ledger.fresh(), carried=tuple(carried), retired=retired)

    def acknowledged(self, durable_through: int) -> "Ledger":
        """Return the ledger with a higher mark."""
        carried = tuple(one for one in self.carried if one.last - one.shift > durable_through)
        return replace(self, durable_through=durable_through, carried=carried, retired=self._retired_without(carried))

    def adopting(self, epoch: str, first: int, last: int, at_sequence: int) -> "Ledger":
        """Return the ledger with the records of a foreign epoch as `at_sequence` and following."""
        return replace(self, carried=(*self.carried, Carried(epoch, first, last, first - at_sequence)))

    def _retired_without(self, carried: Sequence[Carried], *over: str) -> tuple[str, ...]:
        kept = {one.epoch for one in carried}
        gone = [epoch for epoch in (*(one.epoch for one in self.carried), *over) if epoch not in kept]
        return tuple(dict.fromkeys((*self.retired, *gone)))[-_RETIRED_KEPT:]

    def write(self, directory: Path) -> None:
        """Replace the ledger file in `directory`, durably."""
        body = json.dumps(asdict(self), sort_keys=True)
        replace_file(directory / NAME, f"{crc32c(body.encode()):08x} {body}\n".encode())

    @classmethod
    def read(cls, directory: Path) -> "Ledger | None":
        """Return the ledger in `directory`, or nothing when there is none.

        Raises:
            SpoolError: there is one, and it does not pass its checksum.
            OSError: it cannot be read.
        """
        try:
            data = read_bounded(directory / NAME, _LIMIT_BYTES)
        except FileNotFoundError:
            return None
        return cls.decode(data)

    @classmethod
    def decode(cls, data: bytes) -> "Ledger":
        """Decode the file's content.

        Raises:
            SpoolError: it does not pass its checksum or makes no sense.
        """
        checksum, _, body = data.rstrip(b"\n").partition(b" ")
        if checksum != f"{crc32c(body):08x}".encode():
            raise SpoolError("the spool's ledger does not pass its checksum")
        try:
            fields = json.loads(body)
            ledger = cls(
                uuid.UUID(fields["epoch"]).hex,
                int(fields["durable_through"]),
                tuple(Carried(uuid.UUID(one.pop("epoch")).hex, **one) for one in fields["carried"]),
                tuple(uuid.UUID(epoch).hex for epoch in fields["retired"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SpoolError(f"the spool's ledger makes no sense: {error}") from error
        if not 0 <= ledger.durable_through <= MAX_SEQUENCE:
            raise SpoolError("the spool's ledger makes no sense: durable_through is out of range")
        return ledger
