"""Commands that take the way back with them: the app's repository, its folder, what no snapshot keeps."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from strongroom.runs.locks import Locks
from strongroom.webapps.assurance.serving import free_port
from tests.webapps.assurance.ground import MORE, Tree, serving, tree
from tests.webapps.ground import SMALL, SMALL_UID, Apps, folder_of_apps, small_site


class Small:
    """The app of a few files in site3, served, with assurance on."""

    def __init__(self, server: Apps, port: int) -> None:
        self.server, self.url = server, f"http://127.0.0.1:{port}/"
        self.docroot = server.docroot(3)

    def command(self, script: str) -> list[str]:
        return ["apps", "update", SMALL, "--url", self.url, "--", "sh", "-ec", script]

    def by(self, script: str, status: int) -> dict[str, Any]:
        document: dict[str, Any] = self.server.json(*self.command(script), status=status)
        return document

    def files(self) -> Tree:
        return tree(self.docroot)

    @property
    def first(self) -> str:
        """The label of the oldest snapshot."""
        label: str = self.server.json("apps", "snapshots", SMALL)[-1]["label"]
        return label

    @property
    def beside(self) -> set[str]:
        """What lies beside the account's data."""
        return {path.name for path in self.server.data(3).parent.iterdir()}


@pytest.fixture(scope="module")
def served() -> Iterator[Small]:
    with folder_of_apps() as server:
        server.config.write_text(server.config.read_text() + MORE + "keep_snapshots = 0\n")
        small_site(server)
        port = free_port()
        with serving(server.docroot(3), port, server.folder / "php.log", SMALL_UID):
            assert server("apps", "enable", SMALL).status == 0
            yield Small(server, port)


@pytest.fixture
def small(served: Small) -> Iterator[Small]:
    yield served
    subprocess.run(["rm", "-rf", "--", served.docroot.parent / "away"], check=True)
    assert served.beside == {"info", "shadow"}
    assert served.first == "Initial install"
    assert served.server("apps", "reset", SMALL).status == 0


BREAKS = "echo '<?php nothing();' > index.php"
TAKES_AWAY = {
    "the repository": f"rm -rf .git; {BREAKS}",
    "the repository, with a link in its place": f"rm -rf .git; ln -s /etc .git; {BREAKS}",
    "its objects": f"rm -rf .git/objects/pack; {BREAKS}",
    "the folder": "mv ../html ../away",
    "the folder, with another in its place": (
        f"cp -a ../html ../next; mv ../html ../away; mv ../next ../html; cd ../html; {BREAKS}"
    ),
    "the folder, with one that is no app": "mv ../html ../away; mkdir ../html; echo one > ../html/index.php",
    "the folder, with a link in its place": "mv ../html ../away; ln -s away ../html",
}


@pytest.mark.parametrize("what", TAKES_AWAY)
def test_what_takes_the_way_back_away_is_rolled_back_all_the_same(small: Small, what: str) -> None:
    before = small.files()
    assert small.by(f"{TAKES_AWAY[what]}; exit 1", status=1)["verdict"] == "rolled back"
    assert small.files() == before


def test_a_folder_that_went_far_away_comes_back_from_the_snapshot(small: Small) -> None:
    before = small.files()
    far = small.docroot.parent.parent / "far"
    document = small.by(f"mkdir {far}; mv ../html {far}/html", status=2)
    assert document["verdict"] == "failed"
    (left,) = document["left"]
    assert left.startswith("/var/www/html/uploads/photo.jpg is not as before, and snapshots do not keep")
    assert left.endswith("strongroom restore site3 /var/www/html/uploads/photo.jpg")
    subprocess.run(["cp", "-a", far / "html/uploads/photo.jpg", small.docroot / "uploads"], check=True)
    shutil.rmtree(far)
    now = small.files()
    assert {path for path in before if now.get(path) != before[path]} <= {"cache/page.html"}, "caches are not kept"


def test_uploads_that_are_gone_are_named_since_no_snapshot_has_them(small: Small) -> None:
    photo = small.docroot / "uploads/photo.jpg"
    content = photo.read_bytes()
    document = small.by(f"rm uploads/photo.jpg; {BREAKS}", status=2)
    assert "uploads/photo.jpg" in document["left"][0]
    assert (small.docroot / "index.php").read_text() == "<?php echo 'one';"
    photo.write_bytes(content)
    shutil.chown(photo, SMALL_UID, SMALL_UID)


def test_what_came_among_uploads_stays_and_is_told(small: Small) -> None:
    document = small.by(f"echo x > uploads/one.jpg; echo x > uploads/two.jpg; {BREAKS}", status=1)
    (told,) = [each for each in document["evidence"] if each["kind"] == "stays"]
    assert told["text"].startswith("/var/www/html/uploads/one.jpg and 1 file more are new, and left")
    for name in ("one", "two"):
        (small.docroot / f"uploads/{name}.jpg").unlink()


def test_snapshots_stay_where_an_update_that_is_good_took_them_away(small: Small) -> None:
    script = "cp -a ../html ../next; rm -rf ../next/.git; mv ../html ../away; mv ../next ../html"
    assert small.by(script, status=0)["verdict"] == "confirmed"
    assert small.by("rm -rf .git", status=0)["verdict"] == "confirmed"


def test_what_is_no_app_any_more_is_not_confirmed(small: Small) -> None:
    before = small.files()
    document = small.by("mv ../html ../away; cp -a ../away ../html; rm ../html/.webapp.yml", status=1)
    assert [each["kind"] for each in document["evidence"] if each["fails"]] == ["version"]
    assert small.files() == before


def test_killed_where_the_way_back_was_taken_away_it_goes_back(small: Small) -> None:
    before = small.files()
    command = small.server.command(*small.command("mv ../html ../away; exec sleep 1000"))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while small.docroot.exists():
            assert process.poll() is None
            time.sleep(0.02)
        with Locks(os.fsencode(small.server.folder / "state")) as backup:
            assert backup.take(["site3"], 0, lambda name: None, shared=True) == ["site3"], "no backup sees it half done"
        process.kill()
    assert "was rolled back" in small.server("apps", "list").err
    assert small.files() == before


def test_who_the_account_is_written_to_is_told_where_that_is_asked_for(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small.server.folder
    program = folder / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/to; cat >> {folder}/mail\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    facts = small.server.data(3).parent / "info/current/siteinfo"
    facts.write_text(facts.read_text() + "email = owner@small.example\n")
    small.by("exit 3", status=1)
    small.server("apps", "reset", SMALL)
    notify = ("apps", "update", SMALL, "--url", small.url, "--notify", "--")
    assert small.server(*notify, "true").status == 0
    assert not (folder / "to").exists(), "nobody asked, and then nothing failed"
    assert small.server(*notify, "sh", "-c", "exit 3").status == 1
    assert (folder / "to").read_text() == "-oi owner@small.example\n"
    mail = (folder / "mail").read_text()
    assert f"Subject: Update of {SMALL}: rolled back" in mail and "the command ended with status 3" in mail
    assert "webapp_reports" in mail
    (folder / "mail").unlink()
    assert small.server(*notify, "true").status == 2, "it is not tried again"
    assert not (folder / "mail").exists()


def test_none_of_its_other_names_is_the_owners_to_reach(small: Small) -> None:
    assert small.by("ls -A ../../../.. > seen; ls -A ../../../../.strongroom* >> seen 2>&1 || true", status=0)
    (refuge,) = [line for line in (small.docroot / "seen").read_text().splitlines() if line.startswith(".strongroom-refuge-")]
    assert f"{refuge}': Permission denied" in (small.docroot / "seen").read_text()
