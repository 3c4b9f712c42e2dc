"""The demo's MariaDB, as the program's configuration names it."""

from __future__ import annotations

import os

from strongroom.config import Mysql
from strongroom.demo import mariadb


class MariaDB(mariadb.MariaDB):
    """A MariaDB of its own in a folder."""

    @property
    def settings(self) -> Mysql:
        return Mysql(socket=os.fsencode(self.socket))
