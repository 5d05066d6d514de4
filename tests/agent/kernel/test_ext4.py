"""ext4's counters from files as the kernel writes them."""

import pytest

from fsmend_agent.kernel import ext4


@pytest.fixture
def sysfs(tmp_path):
    (tmp_path / "loop0").mkdir()

    def write(**files):
        for name, text in files.items():
            (tmp_path / "loop0" / name).write_text(text)
        return tmp_path

    return write


def test_a_filesystem_with_errors_tells_the_first_and_the_last(sysfs):
    folder = sysfs(
        errors_count="3\n",
        warning_count="1\n",
        msg_count="9\n",
        first_error_time="1700000000\n",
        first_error_ino="12\n",
        first_error_block="0\n",
        first_error_func="__ext4_find_entry\n",
        first_error_line="1624\n",
        first_error_errcode="4\n",
        last_error_time="1700000060\n",
        last_error_ino="13\n",
        last_error_block="77\n",
        last_error_func="ext4_lookup\n",
        last_error_line="1787\n",
        last_error_errcode="5\n",
    )
    assert ext4.error_counters("loop0", folder) == ext4.ErrorCounters(
        errors_count=3,
        warning_count=1,
        msg_count=9,
        first_error=ext4.ErrorPlace(1700000000, 12, 0, "__ext4_find_entry", 1624, "EFSBADCRC"),
        last_error=ext4.ErrorPlace(1700000060, 13, 77, "ext4_lookup", 1787, "EFSCORRUPTED"),
    )


def test_a_clean_filesystem_has_no_first_error(sysfs):
    counters = ext4.error_counters("loop0", sysfs(errors_count="0\n", first_error_time="0\n", last_error_time="0\n"))
    assert (counters.errors_count, counters.first_error, counters.last_error) == (0, None, None)


def test_what_an_old_kernel_lacks_is_none(sysfs):
    counters = ext4.error_counters("loop0", sysfs(first_error_time="5\n"))
    assert (counters.errors_count, counters.warning_count, counters.msg_count) == (None, None, None)
    assert counters.first_error == ext4.ErrorPlace(5, 0, 0, "", 0, "")


def test_a_code_that_is_not_in_the_table_keeps_its_number(sysfs):
    counters = ext4.error_counters("loop0", sysfs(last_error_time="5\n", last_error_errcode="99\n"))
    assert counters.last_error.code == "code99"


def test_garbage_in_a_file_is_no_number(sysfs):
    assert ext4.error_counters("loop0", sysfs(errors_count="many\n", msg_count="²\n")).errors_count is None


def test_a_device_without_ext4_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="loop7"):
        ext4.error_counters("loop7", tmp_path)
