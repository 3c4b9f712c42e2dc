"""The conformance suite against duplicity."""

from __future__ import annotations

from tests.clients.conformance import Conformance
from tests.clients.kit import DUPLICITY_DRIVER


class TestDuplicity(Conformance):
    driver = DUPLICITY_DRIVER
