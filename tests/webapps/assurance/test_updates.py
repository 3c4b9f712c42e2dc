"""Updates of a real WordPress by the real program: what breaks it is rolled back exactly, what does not stays."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.webapps.assurance import browser
from tests.webapps.assurance.ground import MORE, VERSION, Assured, assured, core, plugin
from tests.webapps.assurance.plants import FAILURES, HARMLESS, THEME, always, sql
from tests.webapps.ground import PRESS, PRESS_UID, WIKI, Press, folder_of_apps, wiki_site

PATIENCE = 120.0


@pytest.fixture(scope="module")
def served(press: Press) -> Iterator[Assured]:
    """One WordPress for all tests here: each leaves it whole."""
    with folder_of_apps(press.mariadb) as server:
        server.config.write_text(server.config.read_text() + MORE)
        with assured(server, press) as found:
            yield found
        press.remove()


@pytest.fixture
def shop(served: Assured) -> Iterator[Assured]:
    yield served
    served.reset()


def failing(document: dict[str, Any]) -> set[str]:
    """The kinds of evidence that failed an update."""
    return {each["kind"] for each in document["evidence"] if each["fails"]}


@pytest.mark.parametrize("name", FAILURES)
def test_what_breaks_it_is_found_and_rolled_back(shop: Assured, name: str) -> None:
    tree, database = shop.tree(), shop.database()
    with shop.patience(FAILURES[name].patience):
        document = shop.by(FAILURES[name].script, status=1)
    assert document["verdict"] == "rolled back", document
    assert failing(document) & set(FAILURES[name].found_by), document["evidence"]
    assert shop.tree() == tree
    assert shop.database() == database


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_stays(shop: Assured, name: str) -> None:
    before = (shop.tree(), shop.database())
    document = shop.by(HARMLESS[name], status=0)
    assert (document["verdict"], failing(document)) == ("confirmed", set()), document
    assert (shop.tree(), shop.database()) != before or "touched" in name, "something was changed"


def test_a_failed_app_is_not_tried_again_until_it_is_reset(shop: Assured) -> None:
    shop.by(FAILURES["an error 500"].script, status=1)
    (listed,) = shop.server.json("apps", "list", "site1")
    assert listed["failed"] is True
    assert "status 500 now" in listed["failed_because"]
    refused = shop.server("apps", "update", PRESS, "--url", shop.url, "--", "true")
    assert refused.status == 2
    assert "apps reset" in refused.err and refused.err.count("\n") == 1
    (skipped,) = shop.server.json("apps", "update", "--all", "--", "true")
    assert "its last update failed" in skipped["skipped"][0]
    shop.reset()
    assert shop.update("--", "true", status=0)["verdict"] == "confirmed"


def test_the_command_is_the_account_in_the_apps_folder(shop: Assured) -> None:
    shop.by("id -u > who; pwd >> who; test -f wp-load.php", status=0)
    assert (shop.docroot / "who").read_text().split() == [str(PRESS_UID), str(shop.docroot)]
    assert (shop.docroot / "who").stat().st_uid == PRESS_UID


def test_a_lock_holds_for_commands_too(shop: Assured) -> None:
    version = "wp-includes/version.php"
    script = f"sed -i 's/{VERSION}/6.2/' {version}"
    assert shop.server("apps", "lock", PRESS, "minor").status == 0
    try:
        tree = shop.tree()
        document = shop.by(script, status=1)
        assert failing(document) == {"version"}
        assert shop.tree() == tree
    finally:
        assert shop.server("apps", "lock", PRESS, "none").status == 0


def test_the_owners_checks_decide_with(shop: Assured) -> None:
    settings = shop.docroot / ".assurance.toml"
    settings.write_text('confirm = [["sh", "-c", "test ! -e stop"], ["sh", "-c", "exit 9"]]\n')
    os.chown(settings, PRESS_UID, PRESS_UID)
    try:
        document = shop.by("touch stop", status=1)
        assert [each["text"] for each in document["evidence"] if each["fails"]] == [
            "the owner's check sh -c test ! -e stop ended with status 1"
        ]
        assert not (shop.docroot / "stop").exists()
        told = [each["text"] for each in document["evidence"] if not each["fails"]]
        assert told == ["the owner's check sh -c exit 9 ended with status 9"], "it failed before"
        shop.reset()
        settings.chmod(0o666)
        refused = shop.server("apps", "update", PRESS, "--url", shop.url, "--", "true")
        assert refused.status == 2
        assert "which nobody else may write" in refused.err
    finally:
        settings.unlink()


def zipped(folder: Path) -> Path:
    archive = folder.parent / f"{folder.name}.zip"
    code = "import shutil, sys; shutil.make_archive(sys.argv[1], 'zip', sys.argv[2], sys.argv[3])"
    arguments = [str(folder), str(folder.parent), folder.name]
    subprocess.run(["python3", "-c", code, *arguments], check=True)
    return archive


def test_a_plugin_from_an_archive(shop: Assured, tmp_path: Path) -> None:
    archive = zipped(plugin(tmp_path / "tulips", "// nothing\n"))
    document = shop.update("--from", archive, status=0)
    assert (document["verdict"], document["what"]) == ("confirmed", "plugin tulips 1.0")
    assert (shop.docroot / "wp-content/plugins/tulips/tulips.php").stat().st_uid == PRESS_UID


def test_of_several_plugins_the_guilty_one_is_named_and_the_others_stay(shop: Assured, tmp_path: Path) -> None:
    names = ("anemones", "begonias", "carnations")
    for name in names:
        folder = shop.docroot / "wp-content/mu-plugins" / name
        plugin(folder)
        plugin(shop.docroot / "wp-content/plugins" / name)
        plugin(tmp_path / "shelf" / name, "no_such_function();\n" if name == "begonias" else "", version="2.0")
        loader = shop.docroot / f"wp-content/mu-plugins/{name}.php"
        loader.write_text(f"<?php include WP_PLUGIN_DIR . '/{name}/{name}.php';\n")
    subprocess.run(["chown", "-R", f"{PRESS_UID}:{PRESS_UID}", shop.docroot / "wp-content"], check=True)
    document = shop.update("--from", tmp_path / "shelf", status=1)
    assert [(each["what"], each["verdict"]) for each in document["updates"]] == [
        ("plugin anemones 2.0", "confirmed"),
        ("plugin begonias 2.0", "rolled back"),
        ("plugin carnations 2.0", "confirmed"),
    ]
    assert document["what"] == "plugin begonias 2.0"
    for name, version in zip(names, ("2.0", "1.0", "2.0"), strict=True):
        assert f"Version: {version}" in (shop.docroot / f"wp-content/plugins/{name}/{name}.php").read_text()
    (listed,) = shop.server.json("apps", "list", "site1")
    assert listed["failed_because"].startswith("plugin begonias 2.0: ")


def test_a_core_whose_upgrade_of_the_database_fails(shop: Assured, press: Press, tmp_path: Path) -> None:
    half = '$wpdb->query("ALTER TABLE wp_posts ADD COLUMN half INT"); $wpdb->query("ALTER TABLE wp_none ADD COLUMN x INT");'
    tree, database = shop.tree(), shop.database()
    document = shop.update("--from", core(press, tmp_path / "new", upgrade=half), status=1)
    assert failing(document) == {"upgrade"}
    assert "wp_none" in document["evidence"][0]["text"]
    assert shop.tree() == tree
    assert shop.database() == database


def test_the_ladder_stops_at_the_step_that_breaks(shop: Assured, press: Press, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    core(press, shelf / "a", "6.1.10", '$wpdb->query("ALTER TABLE wp_posts ADD COLUMN scent INT");')
    broken = core(press, shelf / "b", "6.2")
    (broken / "wp-includes/formatting.php").write_text("<?php\n")
    core(press, shelf / "c", "7.0")
    (shop.docroot / "wp-admin/own.php").write_text("<?php // the owner's\n")
    config = (shop.docroot / "wp-config.php").read_bytes()
    document = shop.update("--from", shelf, status=1)
    assert [(each["what"], each["verdict"]) for each in document["updates"]] == [
        ("core 6.1.10", "confirmed"),
        ("core 6.2", "rolled back"),
    ]
    assert document["skipped"] == ["core 7.0: not tried after core 6.2"]
    (listed,) = shop.server.json("apps", "list", "site1")
    assert listed["version"] == "6.1.10"
    assert press.mariadb.rows("SHOW COLUMNS FROM wp_posts LIKE 'scent'", database="shopkeeper_wp")
    assert (shop.docroot / "wp-config.php").read_bytes() == config
    assert (shop.docroot / "wp-admin/own.php").exists()
    assert not (shop.docroot / ".maintenance").exists()
    assert {entry.stat().st_uid for entry in (shop.docroot / "wp-includes").iterdir()} == {PRESS_UID}


def test_the_report_is_the_owners_and_escapes_what_apps_say(shop: Assured) -> None:
    shout = '<script>alert("1")</script>'
    title = f"UPDATE wp_options SET option_value = '{shout}' WHERE option_name = 'blogname'"
    document = shop.by(sql(title) + f"\nexit 5 # {shout}", status=1)
    path = Path(document["report"])
    status, above = path.stat(), path.parent.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (PRESS_UID, 0o600)
    assert (above.st_uid, stat.S_IMODE(above.st_mode)) == (PRESS_UID, 0o700)
    assert not path.is_relative_to(shop.docroot)
    text = path.read_text()
    assert "Rolled back." in text and "ended with status 5" in text
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "mode max" in text and document["modes"][0] == "mode max"


@pytest.mark.torture
@pytest.mark.skipif(not browser.found(), reason="no Chromium here; install it with: tools/setup browser")
def test_a_browser_sees_scripts_that_fail(shop: Assured) -> None:
    text = shop.server.config.read_text()
    shop.server.config.write_text(text.replace('browser = "never"', 'browser = "auto"'))
    try:
        code = "add_action('wp_footer', fn() => print('<script>nowhere(1)</script>'));"
        document = shop.by(always(code), status=1)
    finally:
        shop.server.config.write_text(text)
    assert failing(document) == {"fault"}
    assert "ReferenceError: nowhere is not defined" in document["evidence"][0]["text"]
    assert Path(document["report"]).read_text().count('src="data:image/jpeg;base64,') == 9, "three pages, three times"


def running(shop: Assured, *words: str) -> subprocess.Popen[str]:
    command = shop.server.command("apps", "update", PRESS, "--url", shop.url, *words)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def reach(process: subprocess.Popen[str], step: str) -> None:
    """Wait until an update says that it begins a step."""
    assert process.stderr
    said = []
    for line in process.stderr:
        said.append(line)
        if line.rstrip().endswith(f"{PRESS}: {step}"):
            return
    raise AssertionError(f"it ended without {step}: {said}")


BEFORE, AFTER = "before", "after"
KILLS = [
    ("snapshot", always("// harmless"), {BEFORE}),
    ("look before", always("// harmless"), {BEFORE}),
    (
        "update",
        "echo '<?php' > index.php; rm -r wp-includes; " + sql("DROP TABLE wp_posts").replace("wp-load", "x"),
        {BEFORE},
    ),
    ("look after", always("// harmless"), {BEFORE}),
    ("confirm", always("// harmless"), {BEFORE, AFTER}),
    ("roll back", "rm -r wp-admin; " + FAILURES["an error 500"].script, {BEFORE}),
    ("look after rollback", FAILURES["an error 500"].script, {BEFORE}),
]


@pytest.mark.parametrize(("step", "script", "allowed"), KILLS, ids=[step for step, _, _ in KILLS])
def test_killed_at_any_step_the_next_command_makes_it_whole(
    shop: Assured, step: str, script: str, allowed: set[str]
) -> None:
    tree, database = shop.tree(), shop.database()
    done = shop.docroot / "wp-content/mu-plugins/more.php"
    size = done.stat().st_size if done.exists() else 0
    with running(shop, "--", "sh", "-c", script) as process:
        reach(process, step)
        process.kill()
    shop.server.json("apps", "list")
    now = done.stat().st_size if done.exists() else 0
    state = AFTER if now > size else BEFORE
    assert state in allowed
    if state == BEFORE:
        assert shop.tree() == tree
        assert shop.database() == database


def test_killed_in_the_middle_of_the_command_nothing_of_it_goes_on(shop: Assured) -> None:
    tree, database = shop.tree(), shop.database()
    mark = shop.server.folder / "mark"
    mark.mkdir(mode=0o777)
    mark.chmod(0o777)
    script = f"rm -r wp-admin; echo broken > index.php; touch {mark}/begun; while :; do echo x >> wp-load.php; sleep 0.1; done"
    with running(shop, "--", "sh", "-c", script) as process:
        reach(process, "update")
        while not (mark / "begun").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.kill()
    shop.server.json("apps", "list")
    assert shop.tree() == tree
    assert shop.database() == database


def test_stopped_it_goes_back_at_once(shop: Assured) -> None:
    tree = shop.tree()
    with running(shop, "--", "sh", "-c", "rm -r wp-admin; exec sleep 1000") as process:
        reach(process, "update")
        while (shop.docroot / "wp-admin/admin.php").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    assert shop.tree() == tree


def test_two_updates_of_one_app_do_not_meet(shop: Assured) -> None:
    with running(shop, "--", "sleep", "1000") as process:
        reach(process, "update")
        refused = shop.server("apps", "update", PRESS, "--url", shop.url, "--", "true")
        by_hand = shop.server("apps", "rollback", PRESS)
        listed = shop.server("apps", "list", "--json")
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert (refused.status, "is being updated by another command" in refused.err) == (2, True)
    assert (by_hand.status, "is being updated by another command" in by_hand.err) == (2, True)
    assert (listed.status, json.loads(listed.out)[0]["app"]) == (0, PRESS)


def test_what_contradicts_itself_is_refused_in_one_line(shop: Assured, tmp_path: Path) -> None:
    for words in (
        (),
        (PRESS,),
        (PRESS, "--from", str(tmp_path), "--", "true"),
        ("--all",),
        ("--all", "--url", shop.url, "--", "true"),
        ("--all", PRESS, "--", "true"),
        ("--notify", "--dry-run", PRESS, "--", "true"),
        (PRESS, "--from", ""),
        (PRESS, "--from", str(tmp_path / "none")),
        (PRESS, "--from", str(tmp_path)),
        (PRESS, "--url", "ftp://x", "--", "true"),
        (PRESS, "--url", "http://127.0.0.1:1/", "--", "true"),
        ("site1:/nowhere", "--", "true"),
    ):
        refused = shop.server("apps", "update", *words)
        assert refused.status == 2, words
        assert refused.err.splitlines()[-1].startswith("strongroom: "), refused.err


def test_a_theme_that_prints_warnings_is_no_good_theme(shop: Assured) -> None:
    # WordPress hides them, unless it is told to show them.
    document = shop.by(f"echo '<?php echo $undefined;' >> {THEME}/functions.php", status=0)
    assert document["verdict"] == "confirmed"


def test_all_apps_each_whatever_becomes_of_the_others(shop: Assured) -> None:
    wiki_site(shop.server)
    (listed,) = shop.server.json("apps", "list", "site2")
    assert shop.server("apps", "enable", WIKI).status == 0
    assert listed["url"] == "http://wiki.example/", "where nobody is"
    one, other = shop.server.json("apps", "update", "--all", "--", "true", status=2)
    assert (one["app"], one["verdict"], other["app"], other["verdict"]) == (PRESS, "confirmed", WIKI, None)
    assert "no page of the app works, so no update could be judged" in other["error"]
    assert shop.server("apps", "disable", WIKI).status == 0
    one, other = shop.server.json("apps", "update", "--all", "--", "true", status=0)
    assert other["skipped"] == [
        f"{WIKI} has no snapshots to go back to; begin them with: strongroom apps enable {WIKI}"
    ]


def databases(press: Press) -> list[Any]:
    return [press.mariadb.rows("SHOW DATABASES"), press.mariadb.rows("SELECT user, host FROM mysql.user")]


def test_a_rehearsal_works_on_a_copy_from_the_latest_point(shop: Assured, press: Press) -> None:
    shop.server.backup("site1")
    there = (shop.tree(), shop.database(), databases(press))
    good = shop.update("--dry-run", "--", "sh", "-ec", HARMLESS["another text"], status=0)
    assert (good["verdict"], good["dry_run"]) == ("confirmed", True), good
    assert "The app itself was not touched" in Path(good["report"]).read_text()
    bad = shop.update("--dry-run", "--", "sh", "-ec", sql("DROP TABLE wp_posts") + "\nrm -r wp-admin", status=1)
    assert failing(bad) & {"status", "fault", "redirect"}
    assert (shop.tree(), shop.database(), databases(press)) == there
    assert not list(shop.server.folder.glob("state/settings/rehearsal.json"))
    assert shop.update("--", "true", status=0)["verdict"] == "confirmed", "a rehearsal marks no app as failed"


def test_a_killed_rehearsal_leaves_nothing_once_the_next_ran(shop: Assured, press: Press) -> None:
    shop.server.backup("site1")
    there = databases(press)
    with running(shop, "--dry-run", "--", "sleep", "1000") as process:
        reach(process, "update")
        process.kill()
    note = shop.server.folder / "state/settings/rehearsal.json"
    folder = Path(json.loads(note.read_text())["folder"])
    assert folder.exists() and databases(press) != there
    shop.update("--dry-run", "--", "true", status=0)
    assert databases(press) == there
    assert not folder.exists() and not note.exists()
