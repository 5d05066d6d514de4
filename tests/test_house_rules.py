"""The rules of CONTRIBUTING.md that a machine can hold."""

import ast
import dataclasses
import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parent.parent
MAX_LINES = 400
FORBIDDEN_NAMES = {"utils", "util", "common", "manager", "handler", "helper", "helpers", "misc"}
ROOTS = {
    "fsmend_agent": PROJECT / "agent/fsmend_agent",
    "fsmend_collector": PROJECT / "collector/fsmend_collector",
}


def modules() -> Iterator[Path]:
    """Yield every module that a person wrote."""
    for root in (*ROOTS.values(), PROJECT / "tests", PROJECT / "tools"):
        yield from (path for path in root.rglob("*.py") if path.name != "_ffi.py")


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("path", [pytest.param(path, id=relative(path)) for path in modules()])
def test_module_can_be_read_at_one_sitting(path: Path):
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_no_module_is_named_for_nothing():
    assert not [relative(path) for path in modules() if FORBIDDEN_NAMES & set(path.stem.split("_"))]


def test_every_module_says_what_it_is_for():
    product = [
        path
        for path in modules()
        if path.is_relative_to(PROJECT / "agent") or path.is_relative_to(PROJECT / "collector")
    ]
    assert not [relative(path) for path in product if not ast.get_docstring(ast.parse(path.read_text()))]


def test_only_marked_supervisors_swallow_every_exception():
    swallowed = []
    for path in modules():
        if path.is_relative_to(PROJECT / "tests"):
            continue
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            names = (
                {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"Exception"}
            )
            passed_on = isinstance(node.body[-1], ast.Raise)
            if (
                names & {"Exception", "BaseException"}
                and not passed_on
                and "# supervisor:" not in lines[node.lineno - 1]
            ):
                swallowed.append(f"{relative(path)}:{node.lineno}")
    assert not swallowed


@pytest.mark.parametrize("package", ["sources", "actions"])
def test_every_source_and_action_is_one_class_in_one_module_with_a_test_of_its_name(package: str):
    room = ROOTS["fsmend_agent"] / package
    base = {"sources": "Source", "actions": "Action"}[package]
    found = 0
    for path in room.glob("[a-z]*.py"):
        classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        ours = [node for node in classes if any(isinstance(b, ast.Name) and b.id == base for b in node.bases)]
        assert len(ours) == 1, f"{relative(path)} has {len(ours)} subclasses of {base}"
        assert (PROJECT / f"tests/agent/{package}/test_{path.stem}.py").exists(), f"{relative(path)} has no test"
        found += 1
    assert found >= 3


def test_sense_never_imports_grpc():
    """Import all that `sense` is made of, and look."""
    code = (
        "import sys; from fsmend_agent.entry import stay_small; stay_small();"
        "import fsmend_agent.agent, fsmend_agent.sources as s, fsmend_agent.actions as a;"
        "s.discover(); a.discover();"
        "bad = [m for m in sys.modules if sys.modules[m] and m.split('.')[0] in ('grpc', 'ssl', 'pytest') or m.endswith('_pb2_grpc')];"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr


def test_only_the_kernel_room_touches_cffi():
    rest = [path for path in ROOTS["fsmend_agent"].rglob("*.py") if path.parent.name != "kernel"]
    offenders = [relative(path) for path in rest if {"cffi", "_ffi", "_cffi_backend"} & set(imported(path))]
    assert not offenders


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.rsplit(".", 1)[-1] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").rsplit(".", 1)[-1]
            yield from (alias.name for alias in node.names)


def keys_of(config: type) -> set[str]:
    """Flatten a configuration class: section and key, joined as the Ansible roles join them."""
    keys = set()
    for name, kind in typing.get_type_hints(config).items():
        if dataclasses.is_dataclass(kind):
            keys |= {f"{name}_{key}" for key in keys_of(kind)}
        else:
            keys.add(name)
    return keys


def role_defaults(role: str) -> set[str]:
    defaults = yaml.safe_load((PROJECT / f"ansible/roles/{role}/defaults/main.yml").read_text())
    return {key.removeprefix(f"{role}_") for key in defaults}


@pytest.mark.parametrize("role", ["agent", "collector"])
def test_every_variable_of_a_role_is_specified(role: str):
    specs = yaml.safe_load((PROJECT / f"ansible/roles/{role}/meta/argument_specs.yml").read_text())
    options = specs["argument_specs"]["main"]["options"]
    assert {key.removeprefix(f"{role}_") for key in options} == role_defaults(role)


def test_every_key_of_the_agents_configuration_is_a_variable_of_its_role():
    from fsmend_agent.config import AgentConfig  # noqa: PLC0415

    assert keys_of(AgentConfig) - role_defaults("agent") == set()


def test_every_key_of_the_collectors_configuration_is_a_variable_of_its_role():
    from fsmend_collector.config import Config  # noqa: PLC0415

    whole_tables = {"diagnosis"}  # passed on as they are: one variable, any key
    keys = {key for key in keys_of(Config) if key.split("_")[0] not in whole_tables}
    assert keys - role_defaults("collector") == set()


@pytest.mark.parametrize("side", ["agent", "collector"])
def test_every_key_of_the_configuration_is_documented(side: str):
    from fsmend_agent.config import AgentConfig  # noqa: PLC0415
    from fsmend_collector.config import Config  # noqa: PLC0415

    page = (PROJECT / "docs/configuration.md").read_text()
    section = page.split(f"## {side}.toml", 1)[1].split("\n## ", 1)[0]
    config = {"agent": AgentConfig, "collector": Config}[side]
    assert [key for key in leaves_of(config) if f"`{key}`" not in section] == []


def leaves_of(config: type) -> set[str]:
    """Collect the keys themselves, without their tables."""
    kinds = typing.get_type_hints(config)
    nested = [leaves_of(kind) for kind in kinds.values() if dataclasses.is_dataclass(kind)]
    return set().union({name for name, kind in kinds.items() if not dataclasses.is_dataclass(kind)}, *nested)


def test_versions_agree_everywhere():
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    import fsmend_agent  # noqa: PLC0415
    import fsmend_collector  # noqa: PLC0415

    galaxy = yaml.safe_load((PROJECT / "ansible/galaxy.yml").read_text())["version"]
    roles = [
        yaml.safe_load((PROJECT / f"ansible/roles/{role}/defaults/main.yml").read_text())[f"{role}_version"]
        for role in ("agent", "collector")
    ]
    assert {fsmend_agent.__version__, fsmend_collector.__version__, galaxy, *roles} == {version}


def test_documented_pages_exist():
    """Every relative link of the README and of the pages leads to a file."""
    import re  # noqa: PLC0415

    pages = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())]
    assert links
    assert not [f"{relative(page)}: {link}" for page, link in links if not (page.parent / link).exists()]
