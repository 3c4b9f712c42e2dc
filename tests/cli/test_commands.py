"""Each command's document has the interface's keys, its text is for people, and its exit status is the promised one."""

from __future__ import annotations

import tomllib

import pytest

from strongroom.cli.main import main
from strongroom.clients.base import Monitor
from strongroom.model import Damage, Remark, Status, Verification
from tests.cli.ground import Ground
from tests.fakes import FakeClient, file, folder, tree

POINT_KEYS = {"id", "account", "time", "level", "client", "status", "files", "stored_bytes", "databases", "synchrony"}
SYNCHRONY_KEYS = {
    "method",
    "transaction_opened",
    "exports_started",
    "files_started",
    "files_finished",
    "gap_seconds",
    "changed_in_gap",
    "changed_paths",
}
HOSTILE = b"data/www/\x1b[2J\xff\n.php"


def test_a_point_that_vanished_from_the_client_is_told_of_once(strongroom: Ground) -> None:
    ids = [strongroom.client.add("site1").id for _ in range(2)]
    assert strongroom("points").err == ""
    del strongroom.client.held[ids[1]]
    said = strongroom("check")
    assert (said.status, said.err.count("\n")) == (0, 1) and ids[1] in said.err
    assert strongroom("points").err == ""
    strongroom("forget", ids[0])
    assert strongroom("points").err == ""


@pytest.mark.parametrize("command", ["points", "status"])
def test_points_that_the_passphrase_does_not_open_are_not_listed(strongroom: Ground, command: str) -> None:
    strongroom.client.add("site1")
    strongroom.client.locked = True
    assert strongroom.json(command, status=2)["error"]["code"] == "client"


def test_init_writes_a_configuration_makes_a_vault_and_warns_about_the_passphrase(
    strongroom: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = strongroom.folder / "etc/config.toml"
    assert main(["--config", str(fresh), "init"], strongroom.clients) == 0
    assert tomllib.loads(fresh.read_text())["server"]["layout"] == "apiscp"
    assert "/etc/strongroom/passphrase away from this server" in capsys.readouterr().out


def test_init_takes_an_existing_configuration_and_refuses_to_overwrite_a_vault(strongroom: Ground) -> None:
    before = strongroom.config.read_text()
    assert strongroom.json("init") == {"vault": f"{strongroom.folder}/vault", "created": True}
    assert strongroom.config.read_text() == before
    assert strongroom.json("init", status=2)["error"]["code"] == "client"
    assert strongroom.clients.vaults == [f"{strongroom.folder}/vault"]


def test_accounts_shows_domains_owners_and_the_server(strongroom: Ground) -> None:
    found = {each["account"]: each for each in strongroom.json("accounts")}
    assert list(found) == ["site1", "site2", "server"]
    one = found["site1"]
    assert set(one) >= {"account", "domains", "owner", "suspended", "databases", "mailboxes", "apps", "locations"}
    assert (one["domains"], one["owner"], one["suspended"]) == (["example.com", "shop.example.com"], "admin", False)
    assert [where["tree"] for where in one["locations"]] == ["data", "info"]
    assert "example.com (+1)" in strongroom("accounts").out


def test_locations_say_what_is_left_out_and_why(strongroom: Ground) -> None:
    out = strongroom("accounts", "--locations").out
    assert "leaves  /var/lib/mysql: " in out
    assert "required: " in out and "recommended: " in out


def test_backup_has_the_interfaces_document(strongroom: Ground) -> None:
    strongroom.client.remarks["site2"] = (Remark(path=b"data/a\xff", message="cannot be read"),)
    document = strongroom.json("backup", status=1)
    assert set(document) >= {"run", "status", "started", "finished", "points"}
    assert (document["status"], len(document["points"])) == ("incomplete", 3)
    for point in document["points"]:
        assert set(point) >= POINT_KEYS | {"warnings"}
        assert set(point["files"]) == {"seen", "changed", "unchanged", "removed", "bytes_read"}
        assert set(point["synchrony"]) == SYNCHRONY_KEYS
    assert document["points"][1]["warnings"] == [{"path": "/a\udcff", "message": "cannot be read"}]


def test_backup_in_words_names_what_is_missing(strongroom: Ground) -> None:
    strongroom.client.remarks["site2"] = tuple(Remark(path=b"data/%d" % n, message="no") for n in range(30))
    strongroom.client.fails["site1"] = "a limit was passed"
    answer = strongroom("backup")
    assert answer.status == 1
    assert "site2 /9: no" in answer.out and "20 more warnings" in answer.out
    assert answer.err == "strongroom: site1: a limit was passed\n"
    assert "site2 /29: no" in strongroom("backup", "-v").out
    assert strongroom("backup", "-q").out == ""


def test_backup_of_nothing_but_failures_is_not_done(strongroom: Ground) -> None:
    strongroom.client.fails["site1"] = "no"
    document = strongroom.json("backup", "site1", status=2)
    assert (document["status"], document["points"]) == ("failed", [])
    assert document["failures"] == [{"account": "site1", "message": "no"}]


def test_backup_takes_a_level_and_a_dry_run_changes_nothing(strongroom: Ground) -> None:
    document = strongroom.json("backup", "example.com", "--level", "differential", "--dry-run")
    assert [(each["account"], each["level"]) for each in document["would"]] == [("site1", "differential")]
    assert not strongroom.client.tasks
    strongroom.json("backup", "example.com", "--level", "full")
    assert [task.level.value for task in strongroom.client.tasks] == ["full"]


def test_only_files_is_all_there_is_without_database_servers(strongroom: Ground) -> None:
    assert strongroom.json("backup", "site1", "--only", "files")["status"] == "complete"
    assert strongroom.json("backup", "site1", "--only", "databases", status=2)["error"]["code"] == "source"


def test_what_restore_cannot_do_yet_names_its_argument(strongroom: Ground) -> None:
    error = strongroom.json("restore", "site1", "--mailbox", "me@example.com", status=2)["error"]
    assert error["code"] == "not-built"
    assert "--mailbox me@example.com" in error["message"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--database", "shop"), "ENGINE:NAME"),
        (("--database", "oracle:shop"), "ENGINE:NAME"),
        (("--table", "t"), "--database"),
        (("--into", "n"), "--database"),
        (("--database", "mysql:a", "--database", "mysql:b", "--into", "n"), "exactly one"),
        (("--database", "mysql:a", "--table", "t"), "--into"),
        (("--database", "mysql:a", "--only", "files"), "contradict"),
        (("--database", "mysql:a", "--into", "n", "--to", "/nowhere/x"), "--to"),
        (("databases:/mysql/a",), "databases"),
    ],
)
def test_words_about_databases_that_contradict_themselves(
    strongroom: Ground, options: tuple[str, ...], said: str
) -> None:
    strongroom.client.add("site1")
    error = strongroom.json("restore", "site1", *options, status=2)["error"]
    assert error["code"] in ("usage", "unknown") and said in error["message"]


def test_unknown_names_are_status_2(strongroom: Ground) -> None:
    point = strongroom.client.add("site1", tree(file(b"data/a")))
    for arguments in (
        ("backup", "site9"),
        ("points", "nobody.example"),
        ("backup", "--client", "elsewhere"),
        ("show", "zzz"),
        ("ls", point.id, "/nothing"),
        ("history", "site1", "/nothing"),
        ("diff", point.id, point.id, "/nothing"),
        ("plan", "site1", "/nothing"),
        ("plan", "site1", "--at", "2001-01-01"),
    ):
        assert strongroom.json(*arguments, status=2)["error"]["code"] == "unknown"


def fill(client: FakeClient) -> list[str]:
    """Three points of site1, one of site2; returns the ids of site1's, oldest first."""
    made = [
        client.add(
            "site1", tree(file(b"data/www/index.php", b"x" * n), file(HOSTILE), file(b"info/current/siteinfo")), bytes=n
        )
        for n in (1, 1, 2)
    ]
    client.add("site2", tree(folder(b"data/www")))
    return [point.id for point in made]


def test_points_come_newest_first_without_warnings(strongroom: Ground) -> None:
    one, two, three = fill(strongroom.client)
    everything = strongroom.json("points")
    assert [point["account"] for point in everything] == ["site2", "site1", "site1", "site1"]
    assert all(set(point) >= POINT_KEYS and "warnings" not in point for point in everything)
    assert [point["id"] for point in strongroom.json("points", "example.com")] == [three, two, one]
    assert [point["id"] for point in strongroom.json("points", "site1", "--limit", "1")] == [three]
    since = next(point["time"] for point in everything if point["id"] == two)
    assert [point["id"] for point in strongroom.json("points", "site1", "--since", since)] == [three, two]
    assert strongroom.json("points", "--since", "now") == []
    assert three[:12] in strongroom("points").out


def test_points_of_an_account_without_any_is_an_empty_list(strongroom: Ground) -> None:
    assert strongroom.json("points", "site1") == []
    assert strongroom("points", "site1").out == "no points\n"


def test_show_tells_all_and_what_a_restore_reads(strongroom: Ground) -> None:
    remark = Remark(path=HOSTILE, message="a socket")
    point = strongroom.client.add("site1", tree(file(b"data/a")), warnings=(remark,), status=Status.INCOMPLETE)
    document = strongroom.json("show", point.id[:6])
    assert set(document) >= POINT_KEYS | {"warnings", "reads"}
    assert document["warnings"][0]["path"] == "/www/\x1b[2J\udcff\n.php"
    out = strongroom("show", "latest").out
    assert "/www/\\x1b[2J\\xff\\n.php: a socket" in out


def test_latest_needs_an_account_where_several_have_points(strongroom: Ground) -> None:
    ids = fill(strongroom.client)
    assert strongroom.json("show", "latest", status=2)["error"]["code"] == "usage"
    assert strongroom.json("show", "site1:latest")["id"] == ids[-1]


def test_diff_takes_latest_for_that_of_the_other_points_account(strongroom: Ground) -> None:
    old = strongroom.client.add("site1", tree(file(b"data/a", b"1"))).id
    strongroom.client.add("site1", tree(file(b"data/b", b"1")))
    strongroom.client.add("site2", tree(file(b"data/c", b"1")))
    assert [each["path"] for each in strongroom.json("diff", old, "latest")] == ["/a", "/b"]
    assert [each["change"] for each in strongroom.json("diff", "latest", old)] == ["added", "removed"]
    assert strongroom.json("diff", "latest", "latest", status=2)["error"]["code"] == "usage"


def test_ls_lists_a_folder_a_tree_or_one_file(strongroom: Ground) -> None:
    point = fill(strongroom.client)[-1]
    assert [entry["path"] for entry in strongroom.json("ls", point)] == ["/www"]
    assert [entry["path"] for entry in strongroom.json("ls", point, "-R")] == [
        "/www",
        "/www/\x1b[2J\udcff\n.php",
        "/www/index.php",
    ]
    assert [entry["path"] for entry in strongroom.json("ls", point, "info:/", "-R")] == [
        "info:/current",
        "info:/current/siteinfo",
    ]
    (entry,) = strongroom.json("ls", point, "/www/index.php")
    assert entry == {
        "path": "/www/index.php",
        "type": "file",
        "size": 2,
        "mode": "0644",
        "uid": 1000,
        "gid": 1000,
        "mtime": "2023-11-14T22:13:20.000000005Z",
        "links": 1,
    }


def test_ls_takes_bytes_that_are_no_text_and_shows_them_escaped(strongroom: Ground) -> None:
    point = fill(strongroom.client)[-1]
    answer = strongroom("ls", point, HOSTILE.removeprefix(b"data"))
    assert answer.out == "/www/\\x1b[2J\\xff\\n.php\n"
    assert "-rw-r--r--   1  1000  1000" in strongroom("ls", point, "-l", "/www").out


def test_history_lists_versions_newest_first(strongroom: Ground) -> None:
    one, two, three = fill(strongroom.client)
    found = strongroom.json("history", "site1", "/www/index.php")
    assert [(v["version"], v["size"], v["first_point"], v["last_point"], v["points"]) for v in found] == [
        (2, 2, three, three, [three]),
        (1, 1, one, two, [one, two]),
    ]
    assert set(found[0]) == {"version", "type", "size", "mtime", "first_point", "last_point", "points"}
    assert "2 points" in strongroom("history", "site1", "/www/index.php").out


def test_find_names_paths_and_points(strongroom: Ground) -> None:
    ids = fill(strongroom.client)
    found = strongroom.json("find", "site1", "*.php")
    assert {each["path"] for each in found} == {"/www/index.php", "/www/\x1b[2J\udcff\n.php"}
    assert [each["points"] for each in found if each["size"] == 1] == [ids[:2]]
    assert set(found[0]) == {"path", "type", "size", "mtime", "points"}
    assert [each["path"] for each in strongroom.json("find", "site1", "info:/cur*/*")] == ["info:/current/siteinfo"]
    assert strongroom.json("find", "site1", "nothing") == []


def test_diff_says_what_changed_in_what(strongroom: Ground) -> None:
    one, _, three = fill(strongroom.client)
    assert strongroom.json("diff", one, three) == [{"path": "/www/index.php", "change": "changed", "what": ["content"]}]
    assert strongroom("diff", one, three, "/www").out == "~ /www/index.php  (content)\n"
    assert strongroom.json("diff", one, three, "info:/") == []


def test_plan_lists_what_a_restore_reads(strongroom: Ground) -> None:
    fill(strongroom.client)
    assert strongroom.json("plan", "site1", "/www") == {
        "reads": [{"run": "run1", "level": "incremental", "what": "data/www", "bytes": 12}],
        "bytes": 12,
        "seconds": 0.5,
    }


def test_latest_that_is_incomplete_is_told_so(strongroom: Ground) -> None:
    fill(strongroom.client)
    broken = strongroom.client.add("site1", tree(file(b"data/a")), status=Status.INCOMPLETE)
    assert f"point {broken.id} is incomplete; --complete" in strongroom("plan", "site1").err
    assert strongroom("plan", "site1", "--complete").err == ""


def test_check_is_clean_or_names_the_damage(strongroom: Ground) -> None:
    assert strongroom.json("check") == {"status": "clean", "objects": 3, "bytes_read": 0, "damage": []}
    assert strongroom.json("check", "--read-data")["bytes_read"] == 1000
    assert strongroom.json("check", "--read-data=10%")["bytes_read"] == 100

    class Damaged(FakeClient):
        def verify(self, *, read_data: float, repair: bool, monitor: Monitor) -> Verification:
            damage = Damage(object="packs/1", message="is gone", points=("a", "b"), paths=(HOSTILE,))
            return Verification(objects=3, bytes_read=0, damage=(damage,))

    strongroom.clients.client = Damaged()
    document = strongroom.json("check", status=1)
    assert document["status"] == "damaged"
    assert document["damage"] == [
        {"object": "packs/1", "points": ["a", "b"], "paths": ["/www/\x1b[2J\udcff\n.php"], "message": "is gone"}
    ]
    assert "packs/1: is gone (hurts points a, b)" in strongroom("check").out


@pytest.mark.parametrize("given", ["x", "0", "1.5"])
def test_a_number_that_is_none_is_told_what_it_has_to_be(strongroom: Ground, given: str) -> None:
    answer = strongroom("points", "--limit", given)
    assert (answer.status, f"'{given}' is not a whole number from 1 up" in answer.err) == (2, True)
    answer = strongroom("status", "--max-age", given.replace("1.5", "nan"))
    assert (answer.status, "is not a number of hours above 0" in answer.err) == (2, True)


def test_one_of_a_thing_is_told_in_the_singular(strongroom: Ground) -> None:
    strongroom("backup", "site1")
    assert strongroom("backup", "site1").out.endswith("complete, 1 point\n")
    assert "of 1 run, about" in strongroom("show", "site1:latest").out


def test_forget_applies_the_retention_and_says_why_the_rest_stays(strongroom: Ground) -> None:
    strongroom("backup", "site1")
    strongroom("backup", "site1")
    strongroom("backup", "site1")
    ids = [point["id"] for point in strongroom.json("points")]
    would = strongroom.json("forget", "--dry-run")
    assert would["forgotten"] == ids[1:] and would["kept"][0]["id"] == ids[0]
    assert "newest complete point" in would["kept"][0]["because"]
    assert len(strongroom.json("points")) == 3
    assert "would go" in strongroom("forget", "--dry-run").out
    done = strongroom.json("forget")
    assert done == {"forgotten": would["forgotten"], "kept": would["kept"]}
    assert [point["id"] for point in strongroom.json("points")] == ids[:1]
    assert strongroom.client.ids() == {ids[0]}


def test_a_point_that_is_named_goes_though_it_is_the_last_good_one(strongroom: Ground) -> None:
    ids = fill(strongroom.client)
    assert strongroom.json("forget", ids[-1][:8], ids[0]) == {"forgotten": [ids[-1], ids[0]], "kept": []}
    assert ids[1] in strongroom.client.ids() and ids[0] not in strongroom.client.ids()


def test_prune_says_how_much_it_freed(strongroom: Ground) -> None:
    assert strongroom.json("prune") == {"freed_bytes": 100, "held_bytes": 0, "objects": 2}
    assert strongroom.json("prune", "--dry-run")["dry_run"] is True
    assert strongroom.client.pruned == 1
    assert strongroom("prune").out == "freed 100 B in 2 objects\n"


def test_status_is_1_until_every_account_is_covered(strongroom: Ground) -> None:
    document = strongroom.json("status", status=1)
    assert document["status"] == "attention"
    assert set(document["accounts"][0]) == {"account", "last_complete", "point", "client", "age_seconds", "problems"}
    assert document["accounts"][0]["problems"] == ["no point"]
    strongroom("backup")
    document = strongroom.json("status", "--max-age", "1000000", status=0)
    assert document["status"] == "ok"
    assert [each["account"] for each in document["accounts"]] == ["site1", "site2", "server"]
    assert "ok: 3 accounts" in strongroom("status", "--max-age", "1000000").out


def test_the_catalog_may_vanish_between_any_two_commands(strongroom: Ground) -> None:
    import shutil

    strongroom("backup")
    before = strongroom.json("points")
    shutil.rmtree(strongroom.folder / "state")
    assert strongroom.json("points") == before
