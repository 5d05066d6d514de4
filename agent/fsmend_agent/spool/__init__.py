"""A durable, bounded queue of records on disk: see `spool.py` for the rules, and `frame.py` for the bytes."""

from fsmend_agent.spool.limits import SpoolLimits
from fsmend_agent.spool.spool import Spool, SpoolBatch
from fsmend_agent.spool.storage import StorageChange

__all__ = ["Spool", "SpoolBatch", "SpoolLimits", "StorageChange"]
