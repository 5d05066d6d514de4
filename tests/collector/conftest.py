import pytest
from collector.rig import Rig, make_config


@pytest.fixture
async def rig(tmp_path):
    """A running collector."""
    rig = Rig(make_config(tmp_path))
    await rig.start()
    yield rig
    await rig.stop()
