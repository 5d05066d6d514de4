"""The console scripts. Both are always installed; without the extra [collector] they say so in one line."""

import sys
from importlib.util import find_spec

_NEEDED = ("click", "sqlalchemy", "alembic", "cryptography", "yaml", "rich")
_COLLECTOR_ONLY = ("pysqlite3",)


def _require(names: tuple[str, ...], script: str) -> None:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"{script}: {', '.join(missing)} not installed; run: pip install 'fsmend[collector]'\n")
        sys.exit(1)


def collector() -> None:
    """Run `fsmend-collector`."""
    _require(_NEEDED + _COLLECTOR_ONLY, "fsmend-collector")
    from fsmend_collector.cli import main  # noqa: PLC0415  only when it can be imported

    main()


def query() -> None:
    """Run `fsmend`."""
    _require(_NEEDED, "fsmend")
    from fsmend_collector.query.cli import main  # noqa: PLC0415

    main()
