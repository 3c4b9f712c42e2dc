"""Accounts with points, made once for a module or anew for a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.whole.nights import Nights


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Read only: what a test does to it must not show."""
    return Nights(tmp_path_factory.mktemp("nights"))


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)
