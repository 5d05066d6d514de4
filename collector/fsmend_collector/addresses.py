"""Network addresses as operators write them: host:port, [v6]:port. Pure."""

import ipaddress
import re

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
MAX_NAME_LENGTH = 253


def split_address(address: str) -> tuple[str, int]:
    """Split host:port; the host comes without brackets.

    Raises:
        ValueError: it is not of this form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be host:port or [address]:port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets: [address]:port")
    if not host:
        raise ValueError("must name a host; [::] is every address of this one")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """Join host and port, with brackets for IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_ip(name: str) -> bool:
    """Say whether `name` is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def problem_of_address(address: str) -> str:
    """Say what is wrong with host:port, or return an empty string."""
    try:
        host, _port = split_address(address)
    except ValueError as error:
        return f"{address!r}: {error}"
    return problem_of_name(host)


def problem_of_name(name: str) -> str:
    """Say what is wrong with a host name or IP address, or return an empty string."""
    labels = name.removesuffix(".").split(".")
    if is_ip(name) or (len(name) <= MAX_NAME_LENGTH and all(_LABEL.fullmatch(label) for label in labels)):
        return ""
    return f"{name!r} is neither a host name nor an IP address"
