from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.ground import Ground


@pytest.fixture
def strongroom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ground:
    return Ground(tmp_path, capsys)
