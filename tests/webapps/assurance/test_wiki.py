"""Updates of DokuWiki, which has no database and other files to leave alone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.webapps.assurance.look import Task
from strongroom.webapps.assurance.probe import look
from strongroom.webapps.assurance.serving import free_port
from tests.panel.servers import write
from tests.webapps.assurance.ground import MORE, serving, tree
from tests.webapps.ground import WIKI, WIKI_UID, Apps, folder_of_apps, wiki_site


class Wiki:
    """DokuWiki in site2, served, with assurance on."""

    def __init__(self, server: Apps, port: int) -> None:
        self.server, self.url = server, f"http://127.0.0.1:{port}/"
        self.docroot = server.docroot(2)

    def update(self, *words: str | Path, status: int) -> dict[str, Any]:
        document: dict[str, Any] = self.server.json("apps", "update", WIKI, "--url", self.url, *words, status=status)
        return document

    def files(self) -> dict[str, Any]:
        """Everything but its caches, which are neither kept nor touched."""
        caches = ("data/cache", "data/tmp", "data/locks", "data/index", "data/log")
        return {path: what for path, what in tree(self.docroot).items() if not path.startswith(caches)}


@pytest.fixture(scope="module")
def wiki() -> Iterator[Wiki]:
    with folder_of_apps() as server:
        server.config.write_text(server.config.read_text() + MORE)
        # Debian's looks for settings and pages in folders of the system.
        settings = wiki_site(server) / "conf/local.php"
        (server.docroot(2) / "inc/preload.php").write_text("<?php\n")
        settings.write_text(settings.read_text() + "$conf['savedir'] = './data';\n")
        assert server("init").status == 0
        port = free_port()
        with serving(server.docroot(2), port, server.folder / "php.log", WIKI_UID):
            # What DokuWiki notes down when it is first looked at is there from the beginning.
            for _ in range(2):
                look(Task(url=f"http://127.0.0.1:{port}/", uid=WIKI_UID, gid=WIKI_UID, page_seconds=60))
            assert server("apps", "enable", WIKI).status == 0
            yield Wiki(server, port)


def core(wiki: Wiki, folder: Path) -> Path:
    """A new DokuWiki, whose makers took something out and come with pages of their own."""
    shutil.copytree(wiki.docroot, folder, ignore=shutil.ignore_patterns(".git", "local.php"))
    write(folder / "VERSION", '2099-01-01 "Sourdough"\n')
    write(folder / "data/pages/start.txt", "theirs\n")
    write(folder / "data/deleted.files", "# gone\nlib/images/README\n../../../etc/passwd\n")
    (folder / "lib/images/README").unlink(missing_ok=True)
    return folder


def test_what_breaks_it_is_rolled_back(wiki: Wiki) -> None:
    before = wiki.files()
    document = wiki.update("--", "sh", "-ec", "echo '<?php nothing();' > inc/parserutils.php", status=1)
    assert document["verdict"] == "rolled back"
    now = wiki.files()
    assert {path: now.get(path) for path in now.keys() | before.keys() if now.get(path) != before.get(path)} == {}
    assert wiki.server("apps", "reset", WIKI).status == 0


def test_what_cannot_be_rolled_back_says_what_is_left(wiki: Wiki) -> None:
    before = (wiki.docroot / "inc/parserutils.php").read_bytes()
    # What an owner can do to himself: the update empties the files that snapshots are in.
    script = (
        "cp -a .git ../kept; chmod -R u+w .git/objects; for each in .git/objects/pack/*; do : > $each; done; "
        "echo '<?php nothing();' > inc/parserutils.php"
    )
    document = wiki.update("--", "sh", "-ec", script, status=2)
    assert document["verdict"] == "failed"
    assert document["left"][-1].endswith(f"strongroom apps rollback {WIKI} {document['snapshot'][:12]}")
    assert "Something is left to do" in Path(document["report"]).read_text()
    # Once that is mended, it goes back by the command that was named.
    shutil.rmtree(wiki.docroot / ".git")
    (wiki.docroot.parent / "kept").rename(wiki.docroot / ".git")
    wiki.server.json("apps", "list", "site2")
    assert (wiki.docroot / "inc/parserutils.php").read_bytes() != before, "nothing goes back by itself"
    assert wiki.server("apps", "rollback", WIKI, document["snapshot"]).status == 0
    assert (wiki.docroot / "inc/parserutils.php").read_bytes() == before
    assert wiki.server("apps", "reset", WIKI).status == 0
    assert wiki.update("--", "true", status=0)["verdict"] == "confirmed"


def test_a_page_more_breaks_nothing(wiki: Wiki) -> None:
    assert wiki.update("--", "sh", "-ec", "echo '== New ==' > data/pages/new.txt", status=0)["verdict"] == "confirmed"


def test_a_new_core_leaves_pages_and_settings(wiki: Wiki, tmp_path: Path) -> None:
    write(wiki.docroot / "lib/images/README", "old\n")
    subprocess.run(["chown", f"{WIKI_UID}:{WIKI_UID}", wiki.docroot / "lib/images/README"], check=True)
    document = wiki.update("--from", core(wiki, tmp_path / "dokuwiki"), status=0)
    assert (document["verdict"], document["version"]) == ("confirmed", "2099-01-01")
    assert "Baked today" in (wiki.docroot / "data/pages/start.txt").read_text()
    assert "The Wiki" in (wiki.docroot / "conf/local.php").read_text()
    assert not (wiki.docroot / "lib/images/README").exists()


def test_a_plugin_goes_where_plugins_are(wiki: Wiki, tmp_path: Path) -> None:
    write(tmp_path / "x/plugin.info.txt", "base bread\ndate 2026-01-02\n")
    write(tmp_path / "x/syntax.txt", "x\n")
    assert wiki.update("--from", tmp_path / "x", status=0)["what"] == "plugin bread 2026-01-02"
    assert (wiki.docroot / "lib/plugins/bread/syntax.txt").stat().st_uid == WIKI_UID
