"""The conformance suite against restic."""

from __future__ import annotations

from tests.clients.conformance import Conformance
from tests.clients.kit import RESTIC


class TestRestic(Conformance):
    driver = RESTIC
