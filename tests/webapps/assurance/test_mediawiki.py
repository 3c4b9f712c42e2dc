"""MediaWiki, served: found, kept, rolled back, updated."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.webapps.assurance.look import Task
from strongroom.webapps.assurance.probe import look
from strongroom.webapps.assurance.serving import free_port
from tests.panel.servers import write
from tests.webapps import mediawiki
from tests.webapps.assurance.ground import MORE, Tree, serving, tree
from tests.webapps.ground import Apps, folder_of_apps
from tests.webapps.mediawiki import ENCYCLOPEDIA, UID, VERSION


class Encyclopedia:
    """MediaWiki in site4, with assurance on."""

    def __init__(self, server: Apps, url: str) -> None:
        self.server, self.url, self.docroot = server, url, server.docroot(4)
        self.first = self.page("Main_Page")

    def update(self, *words: str | Path, status: int) -> dict[str, Any]:
        document: dict[str, Any] = self.server.json("apps", "update", ENCYCLOPEDIA, *words, status=status)
        return document

    def files(self) -> Tree:
        """Everything but its caches, and databases, which answering a visitor changes."""
        return {path: what for path, what in tree(self.docroot).items() if not path.startswith(("cache", "data"))}

    def page(self, title: str) -> str:
        return mediawiki.run(self.docroot, "getText", title)

    def edit(self, title: str, text: str) -> None:
        mediawiki.run(self.docroot, "edit", "--user=Admin", title, given=text)

    def tables(self) -> set[str]:
        """Of its database."""
        with sqlite3.connect(self.docroot / "data/wiki.sqlite") as database:
            return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.fixture(scope="module")
def wiki() -> Iterator[Encyclopedia]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with folder_of_apps() as server:
        server.config.write_text(server.config.read_text() + MORE.replace("pages = 3", "pages = 2"))
        docroot = mediawiki.site(server, url)
        # Its owner has asked for an extension that is still to come.
        with (docroot / "LocalSettings.php").open("a") as settings:
            settings.write("if ( is_dir( __DIR__ . '/extensions/Smell' ) ) { wfLoadExtension( 'Smell' ); }\n")
        with serving(docroot, port, server.folder / "php.log", UID):
            # What it notes down when it is first looked at is there from the beginning.
            assert look(Task(url=url, uid=UID, gid=UID, page_seconds=60)).pages[0].works
            assert server.json("apps", "enable", ENCYCLOPEDIA)["status"] == "complete"
            yield Encyclopedia(server, url)


def test_it_is_found_with_all_that_it_says_of_itself(wiki: Encyclopedia) -> None:
    (found,) = wiki.server.json("apps", "list", "site4")
    assert (found["kind"], found["version"], found["url"], found["tried"]) == ("mediawiki", VERSION, wiki.url, True)
    assert found["database"] == f"sqlite:{wiki.docroot}/data/wiki.sqlite"


def test_what_breaks_it_is_rolled_back(wiki: Encyclopedia) -> None:
    before = wiki.files()
    drop = """php -r '$wiki = new SQLite3("data/wiki.sqlite"); $wiki->exec("DROP TABLE page");'"""
    document = wiki.update("--", "sh", "-ec", f"{drop}; rm -r skins", status=1)
    assert document["verdict"] == "rolled back"
    assert wiki.page("Main_Page") == wiki.first
    assert wiki.files() == before
    assert wiki.server("apps", "reset", ENCYCLOPEDIA).status == 0


def test_a_new_core_upgrades_its_database_and_a_rollback_takes_both_back(wiki: Encyclopedia) -> None:
    new = wiki.server.folder / "mediawiki-1.39.18"
    mediawiki.program(new)
    facts = new / "includes/Defines.php"
    facts.write_text(facts.read_text().replace(VERSION, "1.39.18"))
    updater = new / "includes/installer/SqliteUpdater.php"
    begins = "protected function getCoreUpdateList() {\n\t\treturn ["
    scent = "public function scent() { $this->db->query('CREATE TABLE scent (page INT)', __METHOD__); }\n"
    text = updater.read_text()
    assert begins in text
    updater.write_text(text.replace(begins, f"{scent}\t{begins} [ 'scent' ],"))
    before = wiki.files()
    document = wiki.update("--from", new, status=0)
    assert (document["verdict"], document["was"], document["version"]) == ("confirmed", VERSION, "1.39.18")
    assert "scent" in wiki.tables()
    assert (wiki.docroot / "LocalSettings.php").stat().st_uid == UID
    wiki.edit("Main_Page", "Burnt.")
    assert wiki.server.json("apps", "rollback", ENCYCLOPEDIA)["status"] == "complete"
    assert wiki.server.json("apps", "list", "site4")[0]["version"] == VERSION
    assert wiki.page("Main_Page") == wiki.first
    assert "scent" not in wiki.tables()
    assert wiki.files() == before


def test_an_extension_goes_where_extensions_are_and_has_its_tables(wiki: Encyclopedia, tmp_path: Path) -> None:
    facts = {
        "name": "Smell",
        "version": "1.0",
        "manifest_version": 2,
        "AutoloadClasses": {"Smell": "Smell.php"},
        "Hooks": {"LoadExtensionSchemaUpdates": "Smell::tables"},
    }
    write(tmp_path / "Smell/extension.json", json.dumps(facts))
    add = "$updater->addExtensionTable( 'smell', __DIR__ . '/smell.sql' );"
    write(tmp_path / "Smell/Smell.php", f"<?php class Smell {{ public static function tables( $updater ) {{ {add} }} }}")
    write(tmp_path / "Smell/smell.sql", "CREATE TABLE /*_*/smell (page INT);")
    assert wiki.update("--from", tmp_path / "Smell", status=0)["what"] == "plugin Smell 1.0"
    assert (wiki.docroot / "extensions/Smell/extension.json").stat().st_uid == UID
    assert "smell" in wiki.tables()
