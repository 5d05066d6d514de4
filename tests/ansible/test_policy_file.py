"""What the agent's role writes as the host's policy is the policy that was meant."""

from pathlib import Path

import pytest
from ansible.plugins.filter.core import to_json
from jinja2 import Environment, FileSystemLoader

from fsmend_agent.policy import parse

TEMPLATES = Path(__file__).parents[2] / "ansible/roles/agent/templates"
UUID = "2b0a6f3c-9d1e-4a57-8a55-0c4f6f1f7f10"


def written(policy):
    environment = Environment(loader=FileSystemLoader(TEMPLATES), trim_blocks=True, autoescape=False)
    environment.filters["to_json"] = to_json
    return environment.get_template("policy.toml.j2").render(agent_policy=policy).encode()


@pytest.mark.parametrize(
    "exceptions",
    [
        [],
        [{"uuid": UUID, "classes": {"repair": "deny"}, "actions": {"scrub_btrfs": "require-signature"}}],
        [{"mount_point": '/srv/"odd"', "actions": {"scrub_xfs": "deny"}}, {"uuid": UUID, "classes": {"check": "deny"}}],
    ],
)
def test_the_exceptions_of_filesystems_are_in_the_file(exceptions):
    policy = parse(written({"classes": {"contain": "deny"}, "filesystems": exceptions}))
    assert not policy.broken
    assert len(policy.overrides) == len(exceptions)
    for override, exception in zip(policy.overrides, exceptions, strict=True):
        words = {name: rule.name.lower().replace("_", "-") for name, rule in override.actions.items()}
        assert words == exception.get("actions", {})
        assert len(override.classes) == len(exception.get("classes", {}))


def test_an_unknown_key_of_an_exception_reaches_the_agent_which_refuses_it():
    assert "clases" in parse(written({"filesystems": [{"uuid": UUID, "clases": {"repair": "deny"}}]})).broken
