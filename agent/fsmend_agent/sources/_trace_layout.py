"""How Linux 6.18 (x86_64) lays out its trace pages and our two events; for replay of captured pages only.

A running kernel is asked for its own layouts. Numbers of events differ between kernels and stand in the capture.
"""

from fsmend_agent.kernel.trace_format import parse_format
from fsmend_agent.kernel.trace_page import PageLayout, parse_header_page

_COMMON = """\
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
\tfield:dev_t dev;\toffset:8;\tsize:4;\tsigned:0;
"""

PAGE: PageLayout = parse_header_page("""\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;
""")

BLOCK_RQ_ERROR = parse_format(
    "block",
    f"name: block_rq_error\nID: 2106\nformat:\n{_COMMON}"
    """\
\tfield:sector_t sector;\toffset:16;\tsize:8;\tsigned:0;
\tfield:unsigned int nr_sector;\toffset:24;\tsize:4;\tsigned:0;
\tfield:int error;\toffset:28;\tsize:4;\tsigned:1;
\tfield:unsigned short ioprio;\toffset:32;\tsize:2;\tsigned:0;
\tfield:char rwbs[10];\toffset:34;\tsize:10;\tsigned:0;
\tfield:__data_loc char[] cmd;\toffset:44;\tsize:4;\tsigned:0;
""",
)

EXT4_ERROR = parse_format(
    "ext4",
    f"name: ext4_error\nID: 1166\nformat:\n{_COMMON}"
    """\
\tfield:const char * function;\toffset:16;\tsize:8;\tsigned:0;
\tfield:unsigned line;\toffset:24;\tsize:4;\tsigned:0;
""",
)

MIN_BLOCK_EVENT_BYTES = BLOCK_RQ_ERROR.size
"""The two events are told apart by their size: a page does not name them otherwise than by this kernel's numbers."""
