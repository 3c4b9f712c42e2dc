from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.clients.kit import DUPLICITY

pytest.register_assert_rewrite("tests.clients.conformance")


@pytest.fixture(autouse=True)
def _own_duplicity(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """duplicity comes from an environment of its own."""
    monkeypatch.setenv("PATH", f"{DUPLICITY}{os.pathsep}{os.environ['PATH']}")
    yield
