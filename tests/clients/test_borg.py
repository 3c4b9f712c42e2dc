"""The conformance suite against borg."""

from __future__ import annotations

from tests.clients.conformance import Conformance
from tests.clients.kit import BORG


class TestBorg(Conformance):
    driver = BORG
