"""Reading sysfs attributes that may not be there."""

import pytest

from fsmend_agent import sysfs


def test_an_attribute_is_read_without_its_padding(tmp_path):
    (tmp_path / "model").write_bytes(b"  WDC  WD40 \0\0\n")
    assert sysfs.read_text(tmp_path / "model") == "WDC  WD40"


@pytest.mark.parametrize("name", ["missing", "folder", "nul\0", "x" * 300])
def test_what_cannot_be_read_is_empty(tmp_path, name):
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    assert sysfs.read_text(path) == ""
    assert sysfs.read_bytes(path) == b""
    assert sysfs.read_int(path) == 0
    assert sysfs.link_name(path) == ""
    assert sysfs.names(path) == ()


@pytest.mark.parametrize(
    ("text", "number"), [("12\n", 12), ("-3", -3), ("0x1af4", 0), ("", 0), ("²", 0), ("--1", 0), ("1-", 0)]
)
def test_a_number_or_zero(tmp_path, text, number):
    (tmp_path / "size").write_text(text)
    assert sysfs.read_int(tmp_path / "size") == number


def test_bytes_that_are_no_utf_8_stay_visible(tmp_path):
    (tmp_path / "serial").write_bytes(b"AB\xff\n")
    assert sysfs.read_text(tmp_path / "serial") == "AB\\xff"


def test_a_device_without_a_number_has_none(tmp_path):
    (tmp_path / "class/block/sda").mkdir(parents=True)
    (tmp_path / "class/block/sda/dev").write_text("8:\n")
    assert sysfs.device_number("sda", tmp_path) is None
    (tmp_path / "class/block/sda/dev").write_text("8:16\n")
    assert sysfs.device_number("sda", tmp_path) == (8, 16)
