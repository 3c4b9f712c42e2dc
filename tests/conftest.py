"""What the whole suite needs of its process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.servers.folder import server_folder

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile("whatever the machine does", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whatever the machine does")

# A shell starts its background jobs deaf to interrupts, and the programs that tests start and interrupt would be so too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The servers of databases are started once for all tests of a worker, whichever room they are of.
pytest_plugins = ["tests.servers.fixtures"]


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that other users can enter."""
    with server_folder() as folder:
        yield folder
