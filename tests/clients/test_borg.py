"""The conformance suite against borg."""

from __future__ import annotations

from strongroom.clients.borg import troubles
from strongroom.clients.box import Ended
from strongroom.clients.tool import Trouble
from tests.clients.conformance import Conformance
from tests.clients.kit import BORG


class TestBorg(Conformance):
    driver = BORG


def test_what_borg_warns_of_is_named() -> None:
    said = (
        b'{"type": "log_message", "levelname": "WARNING", "name": "borg.archiver", '
        b'"message": "site1.ab/data/na\\udcffme: open: [Errno 5] Input/output error"}\n'
        b'{"type": "log_message", "levelname": "INFO", "name": "borg", "message": "nothing of note"}\n'
        b'{"type": "log_message", "levelname": "WARNING", "name": "borg", "message": "something else: of no file"}\n'
    )
    assert list(troubles(Ended(status=1, out=b"", err=said), b"/view/", "site1.ab")) == [
        Trouble(path=b"/view/site1.ab/data/na\xffme", message="open: [Errno 5] Input/output error"),
        Trouble(path=b"", message="something else: of no file"),
    ]
