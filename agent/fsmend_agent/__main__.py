"""`python -m fsmend_agent`: the same as `fsmend-agent`."""

import sys

from fsmend_agent.entry import main

sys.exit(main())
