"""What a tool sees, and what it does not get out of."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from strongroom.clients import box
from strongroom.errors import ClientError


@pytest.fixture
def view(tmp_path: Path) -> box.View:
    (tmp_path / "view").mkdir()
    (tmp_path / "data/folder").mkdir(parents=True)
    (tmp_path / "data/file").write_bytes(b"content\n")
    (tmp_path / "data/folder/inside").write_bytes(b"inside\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"SECRET\n")
    os.symlink(tmp_path / "outside", tmp_path / "data/absolute")
    os.symlink("../outside", tmp_path / "data/relative")
    os.symlink("file", tmp_path / "data/own")
    bind = box.Bind(source=os.fsencode(tmp_path / "data"), place=b"site1/data")
    return box.View(folder=os.fsencode(tmp_path / "view"), binds=(bind,))


def see(view: box.View, script: str) -> box.Ended:
    return box.run(["sh", "-c", script], view=view, folder=view.folder + b"/site1/data")


def test_links_are_seen_and_never_followed(view: box.View) -> None:
    assert see(view, "cat file; readlink own").out == b"content\nfile\n"
    for path in ("absolute/secret", "relative/secret", "own", "absolute/"):
        ended = see(view, f"ls -L {path} && cat {path}")
        assert ended.status != 0, path
        assert b"SECRET" not in ended.out


def test_nothing_can_be_changed(view: box.View) -> None:
    assert see(view, "touch new").status != 0
    assert see(view, "chmod 777 file").status != 0


def test_what_is_masked_is_empty(view: box.View) -> None:
    masked = box.View(
        folder=view.folder, binds=view.binds, masks=((b"site1/data/file", False), (b"site1/data/folder", True))
    )
    assert see(masked, "cat file; ls folder").out == b""
    assert see(view, "cat file; ls folder").out == b"content\ninside\n"


def test_a_mask_over_what_is_gone_is_no_error(view: box.View) -> None:
    masked = box.View(folder=view.folder, binds=view.binds, masks=((b"site1/data/vanished", False),))
    assert see(masked, "cat file").out == b"content\n"


def test_nothing_is_left_mounted(view: box.View) -> None:
    see(view, "true")
    assert os.listdir(view.folder) == []


def test_a_program_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ClientError, match="nowhere-at-all is not installed"):
        box.run(["nowhere-at-all"])


def test_a_secret_is_read_from_a_descriptor() -> None:
    with box.handed(b"hush") as secret:
        assert box.run(["cat", f"/dev/fd/{secret}"], descriptors=[secret]).out == b"hush"


def test_a_tool_ends_with_the_program(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    shell = f"echo $$ > {mark}.new; mv {mark}.new {mark}; exec sleep 60"
    script = f"from strongroom.clients import box; box.run(['sh', '-c', {shell!r}])"
    process = subprocess.Popen([sys.executable, "-c", script])
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    tool = Path(f"/proc/{mark.read_text().strip()}/cmdline")
    deadline = time.monotonic() + 60
    # Nothing is left of it, or what nobody has waited for yet.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while tool.read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_view_is_shown_to_daemons_as_long_as_it_is_held(view: box.View) -> None:
    with box.shown(view) as path:
        data = os.fsdecode(path) + "/site1/data"
        assert Path(data, "file").read_bytes() == b"content\n"
        with pytest.raises(OSError, match="Too many levels of symbolic links"):
            Path(data, "absolute/secret").read_bytes()
        with pytest.raises(OSError, match="Read-only file system"):
            Path(data, "new").write_bytes(b"")
    assert not os.path.exists(data)
    assert os.listdir(view.folder) == []
