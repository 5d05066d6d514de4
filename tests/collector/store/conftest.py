import pytest

from fsmend_collector.store.engine import Store
from fsmend_collector.store.migrate import migrate


@pytest.fixture
def url(tmp_path):
    """The URL of an empty store with the newest schema."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(url, tmp_path / "migrate.lock")
    return url


@pytest.fixture
async def store(url):
    async with Store(url) as store:
        yield store
