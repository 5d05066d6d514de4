"""Build the archive that the Ansible roles install from: this checkout's wheel and what it depends on, pinned.

build_wheelhouse.py DIRECTORY     writes DIRECTORY/fsmend-VERSION-wheelhouse.tar with one folder, `wheelhouse`
"""

import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Build it."""
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--disable-pip-version-check",
            "--wheel-dir",
            folder,
        ]
        command += ["--constraint", str(PROJECT / "constraints.txt"), f"{PROJECT}[agent,collector]"]
        subprocess.run(command, check=True)
        with tarfile.open(target / f"fsmend-{version}-wheelhouse.tar", "w") as archive:
            archive.add(folder, arcname="wheelhouse")


if __name__ == "__main__":
    main()
