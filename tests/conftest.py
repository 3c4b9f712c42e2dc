"""What the whole suite needs of its process."""

from __future__ import annotations

import signal

# A shell starts its background jobs deaf to interrupts, and the programs that tests start and interrupt would be so too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The servers of databases are started once for all tests of a worker, whichever room they are of.
pytest_plugins = ["tests.servers.fixtures"]
