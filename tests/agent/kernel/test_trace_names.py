"""Function names matched with records by the kernel's text."""

from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.kernel.trace_names import NamedError, match, parse_text
from fsmend_agent.kernel.trace_records import TraceEvent

TEXT = """# tracer: nop
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
            bash-6093    [000] .....   494.041034: ext4_error: dev 7,0 function trigger_test_error line 129
              ls-12      [001] ...1.  1494.000001: ext4_error: dev 259,3 function ext4_lookup line 1787
"""
NAMED = NamedError(6093, 0, 494041034000, 7, 0, "trigger_test_error", 129)


def event(timestamp_ns=494041033900, pid=6093, line=129, dev=7 << 20, cpu=0):
    fields = {"common_pid": pid, "dev": dev, "function": 1 << 63, "line": line}
    return TraceEvent("ext4", "ext4_error", fields, timestamp_ns, cpu)


def test_lines_of_the_kernel_are_read():
    assert parse_text(TEXT) == [NAMED, NamedError(12, 1, 1494000001000, 259, 3, "ext4_lookup", 1787)]


def test_odd_command_names_do_not_mislead():
    for name in ("a b-1 [7] 1.0: ", "x\ny", "-5 [000] ...", "ext4_error: dev"):
        text = f"  {name}-6093    [000] .....   494.041034: ext4_error: dev 7,0 function trigger_test_error line 129\n"
        assert parse_text(text) == [NAMED]


def test_a_record_finds_its_line():
    assert match(event(), [NAMED]) == "trigger_test_error"


def test_another_process_device_line_cpu_or_time_does_not_match():
    others = [event(pid=1), event(line=130), event(dev=7 << 20 | 1), event(cpu=1), event(timestamp_ns=494043034000)]
    assert [match(other, [NAMED]) for other in others] == [None] * 5


def test_two_functions_that_fit_are_no_guess():
    other = NamedError(6093, 0, 494041034000, 7, 0, "another", 129)
    assert match(event(), [NAMED, other]) is None
    assert match(event(), [NAMED, NAMED]) == "trigger_test_error"


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text):
    assert isinstance(parse_text(text), list)
