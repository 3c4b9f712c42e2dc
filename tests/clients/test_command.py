"""The conformance suite against tar, as a client of commands."""

from __future__ import annotations

from tests.clients.conformance import Conformance
from tests.clients.kit import COMMAND


class TestCommand(Conformance):
    driver = COMMAND
