"""Measuring: what commands took, and that failures are told."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks.measure import Command, CommandError, measure, output

PYTHON = sys.executable


def python(code: str) -> Command:
    return Command(programs=((PYTHON, "-c", code),))


def test_wall_time_runs_from_the_first_command_to_the_end_of_the_last() -> None:
    began = time.perf_counter()
    figure = measure([python("import time; time.sleep(0.2)")] * 2)
    assert 0.4 < figure.wall < time.perf_counter() - began
    assert figure.memory is None


def test_processor_time_counts_the_children_of_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    assert measure([python(nested)]).cpu > 0.4


def test_memory_is_that_of_all_processes_together() -> None:
    hold = "held = bytearray(60 << 20); held[::4096] = b'x' * len(held[::4096])"
    child = f"{hold}; print('held', flush=True); input()"
    # Both hold it until they were looked at several times.
    nested = (
        "import subprocess, sys, time; pipe = subprocess.PIPE\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=pipe, stdout=pipe)\n"
        f"child.stdout.readline(); {hold}; time.sleep(1); child.communicate(b'\\n')"
    )
    figure = measure([python(nested)], sample=True)
    assert figure.memory is not None
    assert 120 << 20 < figure.memory < 200 << 20


def test_a_pipe_runs_its_programs_together_and_the_last_one_writes_the_output(tmp_path: Path) -> None:
    pipe = Command(programs=(("printf", r"b\na\n"), ("sort",)), output=str(tmp_path / "sorted"))
    measure([pipe])
    assert (tmp_path / "sorted").read_text() == "a\nb\n"
    assert output(pipe) == "a\nb\n"


def test_a_failure_anywhere_in_a_pipe_is_told_with_the_last_line_of_errors() -> None:
    broken = Command(programs=((PYTHON, "-c", "import sys; sys.exit('no such luck')"), ("cat",)))
    with pytest.raises(CommandError, match="exit status 1: no such luck"):
        measure([broken])


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(CommandError, match=r"no-such-program-here: No such file"):
        measure([Command(programs=(("no-such-program-here",),))])
