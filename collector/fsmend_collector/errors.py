"""Every error that the collector raises itself.

The tree; a class answers who must act and whether a retry helps::

    CollectorError
     ├── ConfigError        the operator's configuration; start-up stops, a retry does not help
     ├── StoreError         the store refused; whoever runs the collector must act
     │    ├── StoreUnusable     wrong engine, wrong version, not migrated: start-up stops
     │    └── WriteFailed       disk full or failing: nothing was committed, a retry helps once there is room
     ├── ProtocolError      the agent broke a promise of the wire; its stream ends, it may come back
     │    ├── SequenceGap       a batch begins past the watermark; the agent must send from the watermark on
     │    └── EpochStale        the sequences of this epoch cannot be continued: the agent begins a new epoch
     ├── Quarantined        two hosts share one identity; the operator removes one and releases the agent
     ├── IdentityError      the caller's certificate does not allow this; the operator must act
     ├── EnrolRefused       token or signing request not good; the operator makes a new token
     ├── CommandRefused     an order that cannot be given; nothing was queued, the reason says what to change
     └── NoSuchObject       what an operator named is not there, or not unique; its second line says what to do
"""


class CollectorError(Exception):
    """Be the root of the collector's own errors."""


class ConfigError(CollectorError):
    """Say what is wrong in the configuration, all problems at once."""


class StoreError(CollectorError):
    """Say what the store could not do."""


class StoreUnusable(StoreError):  # noqa: N818  a state, found at start
    """Say why this store cannot be used at all."""


class WriteFailed(StoreError):  # noqa: N818  an outcome
    """Say why a transaction was not committed; none of its rows are there."""


class ProtocolError(CollectorError):
    """Say which promise of the wire protocol the agent broke."""


class SequenceGap(ProtocolError):  # noqa: N818  named for what was found
    """Say that a batch begins later than what the store has allows."""


class EpochStale(ProtocolError):  # noqa: N818  the word of the wire
    """Say why the sequences of an epoch cannot be continued."""


class Quarantined(CollectorError):  # noqa: N818  a state
    """Say why an agent is shut out until an operator looked at it."""


class IdentityError(CollectorError):
    """Say why the caller may not do this.

    Attributes:
        authenticated: the caller is known, and lacks the role; false: no acceptable identity at all.
    """

    def __init__(self, reason: str, *, authenticated: bool) -> None:
        super().__init__(reason)
        self.authenticated = authenticated


class EnrolRefused(CollectorError):  # noqa: N818  an outcome
    """Say why no certificate was issued."""


class CommandRefused(CollectorError):  # noqa: N818  an outcome
    """Say why an order was not queued."""


class NoSuchObject(CollectorError):  # noqa: N818  what it is
    """Say that a name means nothing, or several things, and what is near."""
