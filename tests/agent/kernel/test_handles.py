"""Handles that have no path."""

import errno

import pytest

from fsmend_agent.kernel import handles


def test_the_superblocks_empty_handle_has_no_path():
    assert handles.resolve(-1, 0xFF, b"") is None


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EUCLEAN, errno.EBADMSG])
def test_an_inode_that_does_not_open_has_no_path(monkeypatch, number):
    def refuse(*_arguments):
        raise OSError(number, "no")

    monkeypatch.setattr(handles.syscall, "open_by_handle_at", refuse)
    assert handles.resolve(3, 1, b"12345678") is None


def test_a_missing_capability_is_not_taken_for_a_missing_file(monkeypatch):
    def refuse(*_arguments):
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(handles.syscall, "open_by_handle_at", refuse)
    with pytest.raises(PermissionError):
        handles.resolve(3, 1, b"12345678")
