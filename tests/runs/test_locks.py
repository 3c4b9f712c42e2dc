from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.errors import ConfigError
from strongroom.runs.locks import ChangedError, Changes, Locks


def test_thousands_of_accounts_need_one_descriptor(tmp_path: Path) -> None:
    names = [f"vault/site{number}" for number in range(5000)]
    before = len(os.listdir("/proc/self/fd"))
    with Locks(os.fsencode(tmp_path)) as locks, Locks(os.fsencode(tmp_path)) as other:
        assert locks.take(names, 0, print) == []
        assert len(os.listdir("/proc/self/fd")) == before + 2
        assert other.take(names[:3], 0, lambda name: None) == sorted(names[:3])
        locks.release(names[0])
        assert other.take(names[:1], 0, print) == []


def test_a_process_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    script = (
        "import sys, time; from strongroom.runs.locks import ChangedError, Changes, Locks\n"
        "locks = Locks(sys.argv[1].encode()); locks.take(['a'], 0, print); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with Locks(os.fsencode(tmp_path)) as locks:
        assert locks.take(["a"], 0, lambda name: None) == ["a"]
        holder.kill()
        holder.wait()
        assert locks.take(["a"], 5, lambda name: None) == []
    holder.stdout.close()


def test_a_state_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigError, match=r"server\.state"):
        Locks(os.fsencode(tmp_path / "state"))


def test_what_is_shared_is_held_by_many_and_by_nobody_alone(tmp_path: Path) -> None:
    state = os.fsencode(tmp_path)
    with Locks(state) as one, Locks(state) as other, Locks(state) as third:
        assert one.take(["a"], 0, print, shared=True) == []
        assert other.take(["a"], 0, print, shared=True) == []
        assert third.take(["a"], 0, lambda name: None) == ["a"]
        one.release("a")
        other.release("a")
        assert third.take(["a"], 0, print) == []
        assert one.take(["a"], 0, lambda name: None, shared=True) == ["a"]


def test_a_change_within_a_change_is_one(tmp_path: Path) -> None:
    state, said = os.fsencode(tmp_path), list[str]()
    changes = Changes(state, said.append, patience=0)
    with Locks(state) as backup:
        with changes.of("site1"):
            with changes.of("site1"):
                pass
            assert backup.take(["site1"], 0, lambda name: None, shared=True) == ["site1"], "the outer one goes on"
        assert backup.take(["site1"], 0, print, shared=True) == []
        with pytest.raises(ChangedError, match="site1 is being backed up"), changes.of("site1"):
            pass
        assert len(said) == 1
        with pytest.raises(ChangedError), changes.of("site1", wait=False):
            pass
        assert len(said) == 1, "nobody waited"
