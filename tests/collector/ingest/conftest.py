import pytest

from fsmend_collector.store.engine import Store
from fsmend_collector.store.migrate import migrate


@pytest.fixture
async def store(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(url, tmp_path / "migrate.lock")
    async with Store(url) as store:
        yield store
