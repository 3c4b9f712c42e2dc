"""The answer to each question of JetBackup's PHP classes.

Lists of accounts are asked for often: what knows database servers and files is loaded where it is needed alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from strongroom import __version__
from strongroom.config import Config
from strongroom.counting import counted
from strongroom.errors import SourceError
from strongroom.jetbackup import questions, wire
from strongroom.jetbackup.accounts import Accounts
from strongroom.model import Account, text
from strongroom.panel import Layout

if TYPE_CHECKING:
    from strongroom.exports.base import DatabaseServer
    from strongroom.jetbackup.configs import Configs
    from strongroom.jetbackup.databases import Databases


class Answers:
    """Answers questions about one server; ``servers`` gives its database servers, asked for only where one is needed."""

    def __init__(self, config: Config, layout: Layout, servers: Callable[[], Sequence[DatabaseServer]]) -> None:
        self._config, self._layout, self._given = config, layout, servers
        self._accounts = Accounts(config, layout)

    def answer(self, document: bytes) -> Any:
        """The answer to the question in a document, as a document. Raise what `strongroom.errors` has."""
        asked = questions.read(document)
        return wire.sendable(self._listing(asked))

    @cached_property
    def _databases(self) -> Databases:
        from strongroom.jetbackup.databases import Databases

        return Databases(self._given(), self._accounts.all)

    @cached_property
    def _configs(self) -> Configs:
        from strongroom.jetbackup.configs import Configs

        return Configs(self._config.server.state)

    def _listing(self, asked: questions.Question) -> Any:
        match asked:
            case questions.About():
                return {"version": __version__}
            case questions.Count():
                return self._accounts.count()
            case questions.List():
                return self._accounts.listed(asked)
            case questions.One():
                return self._accounts.one(asked.account)
            case questions.Doors():
                return self._databases.door(asked.engine)
            case questions.DropConfig():
                return self._configs.drop(os.fsencode(asked.folder))
            case _:
                return self._of_account(asked, self._accounts.named(asked.account))

    def _of_account(self, asked: questions.Question, account: Account) -> Any:
        match asked:
            case questions.Held():
                return self._databases.held(account, asked.engine)
            case questions.People():
                return self._databases.users(account, asked.engine)
            case questions.AddDatabase():
                return self._databases.add(account, asked)
            case questions.AddUser():
                return self._databases.add_user(account, asked)
            case questions.MakeConfig():
                return self._config_folder(account)
            case questions.Before():
                return self._before(account)
            case questions.After():
                return self._after(account, asked)
        raise AssertionError(asked)

    def _config_folder(self, account: Account) -> str:
        known = self._accounts.one(account.name) or {}
        return text(self._configs.make(account, wire.sendable(known), self._databases.texts(account)))

    def _before(self, account: Account) -> None:
        for _, path in account.absent:
            raise SourceError(
                f"{account.name} has no folder {text(path)}: make it with the panel, or bring the account back with strongroom"
            )

    def _after(self, account: Account, asked: questions.After) -> list[str]:
        """What is to be said of a restore, after its rows and users are there again."""
        from strongroom.jetbackup import configs

        said = []
        if asked.config:
            folder = os.fsencode(asked.config)
            said += self._databases.bring(account, configs.read(folder, self._databases.names()))
            said += self._attributes(account, folder)
            said.append(
                f"{account.name}: the panel's own settings stay as they are; those of the backup are in {asked.config}/info"
            )
        elif asked.files:
            said.append(
                f"{account.name}: no configuration was restored, so ACLs and other attributes are as JetBackup left them: "
                "run the panel's Fortification again"
            )
        left = self._layout.after_restore(account.name) if asked.config or asked.files else None
        return [*said, left] if left else said

    def _attributes(self, account: Account, folder: bytes) -> list[str]:
        """Put the attributes of the account's files back; what there is to say of it."""
        from strongroom.jetbackup import configs
        from strongroom.jetbackup.attributes import PutBack

        with configs.kept_attributes(folder) as sidecar:
            if sidecar is None:
                return [f"{account.name}: the backup has no list of ACLs: run the panel's Fortification again"]
            if configs.ids(folder) != sorted(account.users):
                return [f"{account.name}: its users have other ids than in the backup, so ACLs were not put back"]
            work = PutBack(account, sidecar)
            work.run()
        return [
            *work.remarks,
            f"{account.name}: ACLs and other attributes of {counted(work.count, 'file')} were put back",
        ]
