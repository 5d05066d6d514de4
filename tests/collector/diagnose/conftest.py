"""What the tests of the bridge share."""

import pytest

from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import migrate


@pytest.fixture
def connection(tmp_path):
    """Return a connection to an empty store."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(url, tmp_path / "lock")
    engine = make_engine(url, writes=True)
    with engine.connect() as opened:
        yield opened
    engine.dispose()
