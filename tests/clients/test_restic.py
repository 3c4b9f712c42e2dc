"""The conformance suite against restic."""

from __future__ import annotations

from strongroom.clients.box import Ended
from strongroom.clients.restic import troubles
from strongroom.clients.tool import Trouble
from tests.clients.conformance import Conformance
from tests.clients.kit import RESTIC


class TestRestic(Conformance):
    driver = RESTIC


def test_what_restic_could_not_read_is_named() -> None:
    said = b'{"message_type":"error","error":{"Op":"open","Err":5},"during":"archival","item":"/view/site1.ab/data/file"}\n'
    ended = Ended(status=3, out=b'{"message_type":"summary","data_added":7}\n', err=said)
    assert list(troubles(ended)) == [Trouble(path=b"/view/site1.ab/data/file", message='{"Op":"open","Err":5}')]


def test_a_status_without_a_name_is_trouble_as_well() -> None:
    (trouble,) = troubles(Ended(status=3, out=b"", err=b"Warning: at least one source file could not be read\n"))
    assert trouble.path == b""
    assert "could not be read" in trouble.message
