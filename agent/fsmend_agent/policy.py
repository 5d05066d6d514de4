"""The host's own policy: which actions may run here, on what, and whose signature they need.

It lies in a root-owned file that no collector can change. What it says is docs/policy.md's subject. Everything here
is pure except `load`.
"""

import base64
import binascii
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fsmend_proto.v1 import command_pb2 as pb

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem

POLICY_PATH = Path("/etc/fsmend/policy.toml")
POLICY_LIMIT_BYTES = 256 * 1024
PUBLIC_KEY_BYTES = 32


class Rule(IntEnum):
    """What the policy says; of several that fit equally well the highest holds."""

    ALLOW = 0
    REQUIRE_SIGNATURE = 1
    DENY = 2


_RULES = {"allow": Rule.ALLOW, "require-signature": Rule.REQUIRE_SIGNATURE, "deny": Rule.DENY}
_CLASSES = {
    "observe": pb.ACTION_CLASS_OBSERVE,
    "check": pb.ACTION_CLASS_CHECK,
    "repair": pb.ACTION_CLASS_REPAIR,
    "contain": pb.ACTION_CLASS_CONTAIN,
    "offline": pb.ACTION_CLASS_OFFLINE,
}
_DEFAULTS: dict[int, Rule] = {
    pb.ACTION_CLASS_OBSERVE: Rule.ALLOW,
    pb.ACTION_CLASS_CHECK: Rule.ALLOW,
    pb.ACTION_CLASS_REPAIR: Rule.ALLOW,
    pb.ACTION_CLASS_CONTAIN: Rule.REQUIRE_SIGNATURE,
    pb.ACTION_CLASS_OFFLINE: Rule.REQUIRE_SIGNATURE,
}
_ACTIONS = frozenset(item.name for item in pb.Command.DESCRIPTOR.oneofs_by_name["action"].fields)


@dataclass(frozen=True, slots=True)
class Override:
    """Rules for one filesystem, named by UUID, by mount point, or by both (then both must fit)."""

    uuid: str
    mount_point: bytes
    classes: Mapping[int, Rule]
    actions: Mapping[str, Rule]

    def fits(self, filesystem: "MountedFilesystem | None") -> bool:
        """Tell whether this override speaks of `filesystem`."""
        if filesystem is None:
            return False
        return (not self.uuid or self.uuid == filesystem.uuid) and (
            not self.mount_point or self.mount_point in filesystem.mount_points
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read. With `broken` everything is denied, and that is why."""

    classes: Mapping[int, Rule] = field(default_factory=lambda: _DEFAULTS)
    actions: Mapping[str, Rule] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    signers: Mapping[str, bytes] = field(default_factory=dict)
    broken: str = ""

    def rule(self, action: str, action_class: int, filesystem: "MountedFilesystem | None") -> Rule:
        """Return what holds for an action: of the filesystem before the host's, of the action before the class's."""
        if self.broken:
            return Rule.DENY
        fitting = [override for override in self.overrides if override.fits(filesystem)]
        steps = (
            [override.actions.get(action) for override in fitting],
            [override.classes.get(action_class) for override in fitting],
            [self.actions.get(action)],
            [self.classes.get(action_class)],
        )
        for step in steps:
            rules = [rule for rule in step if rule is not None]
            if rules:
                return max(rules)
        return Rule.DENY


def load(path: Path = POLICY_PATH, owner_uid: int = 0) -> Policy:
    """Read the policy file. Never raises: a file that cannot be trusted or read gives a policy that denies everything.

    Without a file the defaults hold. The file and its folder must belong to `owner_uid` (root) and nobody else may
    write them; the file may be no symbolic link.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return Policy()
    except OSError as error:
        return Policy(broken=f"{path}: {error.strerror}")
    try:
        data = _read_trusted(fd, path, owner_uid)
    except OSError as error:
        return Policy(broken=f"{path}: {error.strerror}")
    except ValueError as problem:
        return Policy(broken=f"{path}: {problem}")
    finally:
        os.close(fd)
    return parse(data, str(path))


def _read_trusted(fd: int, path: Path, owner_uid: int) -> bytes:
    """Return what the file holds.

    Raises:
        ValueError: it cannot be trusted.
        OSError: it cannot be read.
    """
    problem = _untrusted(os.fstat(fd), owner_uid) or _untrusted(path.parent.stat(), owner_uid, "its folder ")
    if problem:
        raise ValueError(problem)
    data = b""
    while chunk := os.read(fd, POLICY_LIMIT_BYTES + 1 - len(data)):
        data += chunk
    if len(data) > POLICY_LIMIT_BYTES:
        raise ValueError(f"larger than {POLICY_LIMIT_BYTES} bytes")
    return data


def _untrusted(status: os.stat_result, owner_uid: int, what: str = "") -> str:
    """Say why the file or folder cannot be trusted; empty when it can."""
    if not what and not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if status.st_uid != owner_uid:
        return f"{what}belongs to uid {status.st_uid} instead of {owner_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{what}is writable by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


def parse(data: bytes, name: str = "policy") -> Policy:
    """Make a policy of a file's bytes; with any problem one that denies everything and lists every problem."""
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        return Policy(broken=f"{name}: {error}")
    problems: list[str] = []
    _refuse_unknown(document, {"classes", "actions", "filesystems", "signers"}, "", problems)
    policy = Policy(
        classes={**_DEFAULTS, **_class_rules(document.get("classes", {}), "classes", problems)},
        actions=_action_rules(document.get("actions", {}), "actions", problems),
        overrides=_overrides(document.get("filesystems", []), problems),
        signers=_signers(document.get("signers", {}), problems),
    )
    return Policy(broken=f"{name}: " + "; ".join(problems)) if problems else policy


def _refuse_unknown(table: Mapping[str, Any], known: set[str], where: str, problems: list[str]) -> None:
    """Note every key that means nothing: a misspelt one would otherwise silently not protect."""
    problems += [f"unknown key {where}{key}" for key in sorted(table.keys() - known)]


def _table(value: Any, where: str, problems: list[str]) -> dict[str, Any]:
    """Return `value` when it is a table, else note the problem."""
    if isinstance(value, dict):
        return value
    problems.append(f"{where} is no table")
    return {}


def _rules(value: Any, known: set[str], where: str, problems: list[str]) -> dict[str, Rule]:
    """Return the rules of one table by name."""
    table = _table(value, where, problems)
    _refuse_unknown(table, known, f"{where}.", problems)
    found = {}
    for key, word in table.items():
        if isinstance(word, str) and word in _RULES:
            found[key] = _RULES[word]
        else:
            problems.append(f"{where}.{key} is not one of {', '.join(_RULES)}")
    return found


def _class_rules(value: Any, where: str, problems: list[str]) -> dict[int, Rule]:
    """Return rules by action class."""
    rules = _rules(value, set(_CLASSES), where, problems)
    return {_CLASSES[name]: rule for name, rule in rules.items() if name in _CLASSES}


def _action_rules(value: Any, where: str, problems: list[str]) -> dict[str, Rule]:
    """Return rules by action."""
    return _rules(value, set(_ACTIONS), where, problems)


def _overrides(value: Any, problems: list[str]) -> tuple[Override, ...]:
    """Return the overrides of `[[filesystems]]`."""
    if not isinstance(value, list):
        problems.append("filesystems is no list of tables: write [[filesystems]]")
        return ()
    return tuple(_override(item, f"filesystems[{index}]", problems) for index, item in enumerate(value))


def _override(value: Any, where: str, problems: list[str]) -> Override:
    """Return one override."""
    table = _table(value, where, problems)
    _refuse_unknown(table, {"uuid", "mount_point", "classes", "actions"}, f"{where}.", problems)
    uuid, mount_point = table.get("uuid", ""), table.get("mount_point", "")
    if not uuid and not mount_point:
        problems.append(f"{where} names neither uuid nor mount_point")
    if not isinstance(mount_point, str) or (mount_point and not mount_point.startswith("/")):
        problems.append(f"{where}.mount_point is no absolute path")
        mount_point = ""
    return Override(
        uuid=_uuid(uuid, where, problems),
        mount_point=os.fsencode(mount_point.rstrip("/") or mount_point),
        classes=_class_rules(table.get("classes", {}), f"{where}.classes", problems),
        actions=_action_rules(table.get("actions", {}), f"{where}.actions", problems),
    )


def _uuid(value: Any, where: str, problems: list[str]) -> str:
    """Return a UUID in canonical form."""
    try:
        return str(UUID(value)) if value else ""
    except (ValueError, AttributeError, TypeError):
        problems.append(f"{where}.uuid is no UUID")
        return ""


def _signers(value: Any, problems: list[str]) -> dict[str, bytes]:
    """Return the raw public keys of `[signers]` by name."""
    found = {}
    for name, text in _table(value, "signers", problems).items():
        try:
            key = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
        except (binascii.Error, ValueError):
            key = b""
        if len(key) == PUBLIC_KEY_BYTES:
            found[name] = key
        else:
            problems.append(f"signers.{name} is no base64 of a {PUBLIC_KEY_BYTES}-byte Ed25519 public key")
    return found
