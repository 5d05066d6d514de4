#!/bin/bash
# Run the tier. The power cuts take as long as all the rest and need a host of their own: both go on at once, a machine
# each, unless arguments choose some of the tests.
#   run.sh [ARGUMENTS OF PYTEST]
set -uo pipefail
cd "$(dirname "$0")/../.."
began=$SECONDS
if [ $# -gt 0 ]; then
    exec .venv/bin/pytest -m vm tests/vm "$@"
fi
mkdir -p build
.venv/bin/pytest -m vm tests/vm/test_power_cut.py >build/vm-power-cut.log 2>&1 &
cuts=$!
.venv/bin/pytest -m vm tests/vm --ignore=tests/vm/test_power_cut.py --durations=5
rest=$?
wait "$cuts"
status=$?
cat build/vm-power-cut.log
echo "test-vm: $((SECONDS - began)) s; power cuts: status $status, the rest: status $rest"
exit $((status + rest > 0))
