"""Generate the committed protobuf code from proto/fsmend_proto/v1/*.proto, or check that it is up to date.

`--check` generates into a temporary directory, compares, and exits with 1 when a file differs.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTO_ROOT = Path(__file__).resolve().parent.parent / "proto"
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def generate(target: Path) -> None:
    """Run protoc with the message, stub and type generators into `target`."""
    sources = sorted(str(path.relative_to(PROTO_ROOT)) for path in PROTO_ROOT.glob("fsmend_proto/v1/*.proto"))
    includes = [f"-I{PROTO_ROOT}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
    outputs = [f"--python_out={target}", f"--mypy_out=quiet:{target}"]
    services = [source for source in sources if "\nservice " in (PROTO_ROOT / source).read_text()]
    if protoc.main(["protoc", *includes, *outputs, *sources]) != 0:
        sys.exit("protoc failed")
    grpc_outputs = [f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"]
    if protoc.main(["protoc", *includes, *grpc_outputs, *services]) != 0:
        sys.exit("protoc failed for the services")


def generated(root: Path) -> dict[str, bytes]:
    """Map the relative names of generated files below `root` to their contents."""
    return {str(path.relative_to(root)): path.read_bytes() for pattern in PATTERNS for path in root.rglob(pattern)}


def main() -> None:
    """Generate in place, or compare with `--check`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when out of date")
    if not parser.parse_args().check:
        generate(PROTO_ROOT)
        return
    with tempfile.TemporaryDirectory() as fresh:
        generate(Path(fresh))
        committed, wanted = generated(PROTO_ROOT), generated(Path(fresh))
    stale = sorted(name for name in committed.keys() | wanted.keys() if committed.get(name) != wanted.get(name))
    if stale:
        sys.exit("generated code is out of date, run `make generate`: " + ", ".join(stale))


if __name__ == "__main__":
    main()
