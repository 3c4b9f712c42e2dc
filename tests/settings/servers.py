"""A database server in memory, with as much of `strongroom.exports.base.DatabaseServer` as dumps need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from strongroom.errors import ExportError
from strongroom.exports.base import Owned
from strongroom.model import Account


class FakeServer:
    """``databases`` says whose each is, and its text. ``cut`` databases break off after their first piece."""

    def __init__(self, engine: str, databases: dict[str, dict[str, bytes]]) -> None:
        self.engine = engine
        self.databases = databases
        self.cut: set[str] = set()
        self.fails: str | None = None
        self.contested: dict[str, str] = {}
        self.hook: Callable[[str], None] = lambda database: None
        self.dumped: list[str] = []
        self.closed: list[str] = []

    def owned_by_each(self, everyone: Sequence[Account]) -> dict[str, Owned]:
        if self.fails:
            raise ExportError(self.fails)
        return {account.name: self._owned(account.name) for account in everyone}

    def _owned(self, account: str) -> Owned:
        mine = sorted(self.databases.get(account, {}))
        contested = {name: why for name, why in self.contested.items() if name in mine}
        return Owned(names=tuple(name for name in mine if name not in contested), contested=contested)

    def dump(self, database: str, *, broken_views: bool = False) -> Iterator[bytes]:
        content = next(held[database] for held in self.databases.values() if database in held)
        self.dumped.append(database)
        try:
            yield content[: len(content) // 2]
            self.hook(database)
            if database in self.cut:
                raise ExportError(f"{database}: the dump was cut")
            yield content[len(content) // 2 :]
        finally:
            self.closed.append(database)

    def fault(self, sql: Iterator[bytes]) -> str:
        return "" if b"".join(sql) else "nothing"

    def load(
        self, database: str, sql: Iterator[bytes], before: Callable[[], Iterator[bytes]] | None = None
    ) -> list[str]:
        held = next(held for held in self.databases.values() if database in held)
        held[database] = b"".join(sql)
        return []
