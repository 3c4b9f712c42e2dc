"""The conformance suite against duplicity."""

from __future__ import annotations

from strongroom.clients.duplicity import troubles
from strongroom.clients.tool import Trouble
from tests.clients.conformance import Conformance
from tests.clients.kit import DUPLICITY_DRIVER


class TestDuplicity(Conformance):
    driver = DUPLICITY_DRIVER


def test_what_the_log_names_as_unread_is_named_by_its_path() -> None:
    told = (
        b"NOTICE 1\n. Last full backup date: none\n\n"
        b"WARNING 10 '/view/site1.ab/data/na\\xefve \\udcff'\n. Error accessing possibly locked file\n\n"
        b"WARNING 12 'site1.ab/data/broken'\n. Error 'EIO' processing site1.ab/data/broken\n\nWARNING 1\n. Something else\n"
    )
    assert list(troubles(told, b"/view")) == [
        Trouble(
            path="/view/site1.ab/data/na\xefve ".encode() + b"\xff", message="Error accessing possibly locked file"
        ),
        Trouble(path=b"/view/site1.ab/data/broken", message="Error 'EIO' processing site1.ab/data/broken"),
    ]
