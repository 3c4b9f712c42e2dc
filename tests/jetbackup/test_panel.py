"""The classes that JetBackup asks a panel for, run by PHP against a real small server."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from strongroom.exports.mysql import MysqlServer
from strongroom.jetbackup import installing
from tests.jetbackup.ground import HASH, Ground, Refused

CLASSES = Path(installing.__file__).with_name("Panel")
EXCEPTION = "JetBackup\\Core\\Exception\\PanelException"
# How many methods the contract has of each kind.
METHODS = {
    "Account\\Account": 40,
    "Account\\Package": 17,
    "Account\\Config": 15,
    "Account\\Domain": 12,
    "Panel": 9,
    "Account\\Database": 8,
    "DatabaseAuth": 8,
    "Account\\DatabaseUser": 7,
    "Quota": 4,
    "PanelInfo": 4,
    "PanelConfig": 3,
    "Account\\DatabaseUserPrivileges": 2,
}


def test_every_class_parses_and_does_nothing_without_jetbackup() -> None:
    found = sorted(CLASSES.rglob("*.inc"))
    assert len(found) == len(METHODS) + 1  # and the one that asks
    for path in found:
        linted = subprocess.run(["php", "-n", "-l", path], capture_output=True, text=True)
        assert linted.returncode == 0, linted.stdout
        alone = subprocess.run(["php", "-n", path], capture_output=True, text=True)
        assert (alone.returncode, alone.stdout) == (1, "")


def test_every_class_implements_its_interface(still: Ground) -> None:
    code = """
        $found = [];
        foreach (%s as $name) {
            $ours = new ReflectionClass("JetBackup\\\\Panel\\\\$name");
            $theirs = new ReflectionClass("JetBackup\\\\Core\\\\Panel\\\\Integration\\\\$name");
            $found[$name] = [!$ours->isAbstract() && $ours->implementsInterface($theirs), count($theirs->getMethods())];
        }
        return $found;"""
    names = "[" + ", ".join(f"'{name}'" for name in METHODS) + "]"
    assert still.php(code % names.replace("\\", "\\\\")) == {name: [True, count] for name, count in METHODS.items()}


def test_the_classes_are_put_where_they_are_looked_for(ground: Ground) -> None:
    folder = Path(ground.installed["folder"])
    assert folder == ground.jetbackup / "usr/local/jetapps/var/lib/jetbackup5/Panel"
    assert len(ground.installed["files"]) == len(METHODS) + 2
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (0, 0)
        assert stat.S_IMODE(status.st_mode) == (0o700 if path.is_dir() else 0o600), path
    # Again, over what is there; another panel's is left alone, and so is a machine without JetBackup.
    assert ground.json("jetbackup", "install", "--root", ground.jetbackup) == ground.installed
    (folder / "Place.inc").unlink()
    done = ground("jetbackup", "install", "--root", ground.jetbackup)
    assert (done.status, "another panel's" in done.err) == (2, True)
    done = ground("jetbackup", "install", "--root", ground.folder / "nothing")
    assert (done.status, "jetbackup5-base" in done.err) == (2, True)


def test_accounts_are_listed_in_pages_and_found_by_name_alone(still: Ground) -> None:
    listed = still.php("return $panel->listAccounts();")
    names = [account["getUsername"] for account in listed]
    assert names == ["root", "site1", "site2"]
    assert still.php("return $panel->countAccounts();") == 3
    assert still.php("return array_merge(...array_map(fn ($n) => $panel->listAccounts(2, $n), [1, 2, 3]));") == listed
    assert still.php("return $panel->listAccounts(1, 2);") == listed[1:2]
    # Again: nothing changes of its own, least of all the mark.
    assert still.php("return $panel->getAccount('site1');") == listed[1]
    root, one, _ = listed
    assert [root[key] for key in ("isRoot", "isLoginOnly", "isVirtual")] == [True, True, False]
    assert [one[key] for key in ("isRoot", "isLoginOnly", "isVirtual", "isReseller", "isSuspended")] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert one["getHomeDir"] == str(still.one / "shadow")
    assert (one["getHomeDirOwner"], one["getHomeDirGroup"], one["getHomeDirPermissions"]) == ("root", "root", 489)
    assert (one["getMainDomain"], one["getMainEmailAddress"], one["getOwner"]) == (
        "example.com",
        "me@example.com",
        "root",
    )
    assert (one["getNickname"], one["getPackage"]["getName"], one["getPackage"]["getQuota"]) == ("admin", "basic", -1)
    assert one["getDomains"][1]["getParent"]["getName"] == "example.com"
    assert [(domain["getName"], domain["getType"], domain["getPublicDir"]) for domain in one["getDomains"]] == [
        ("example.com", 1, "var/www/html"),
        ("addon.example", 4, "var/www/html"),
    ]
    assert json.loads(one["getCustomData"])["prefixes"] == {"mysql": "jet_", "postgresql": "jet_"}
    nobody = ("site3", "example.com", "../site1", "$(touch x)\\n", "server")
    asked = ", ".join(f"$panel->getAccount('{name}')" for name in nobody)
    assert still.php(f"return [{asked}];") == [None] * len(nobody)


def test_a_mark_is_an_accounts_for_life_and_not_its_successors(ground: Ground) -> None:
    def mark() -> str:
        return str(ground.php("return $panel->getAccount('site2')->getUniqueId();"))

    first = mark()
    ground.two.rename(ground.folder / "aside")
    assert ground.php("return $panel->getAccount('site2');") is None
    (ground.folder / "aside").rename(ground.two)
    assert mark() == first
    ground.two.rename(ground.folder / "aside")
    assert ground.php("return $panel->countAccounts() + count($panel->listAccounts());") == 4
    (ground.folder / "aside").rename(ground.two)
    (ground.two / "info/current/siteinfo").write_text("[DEFAULT]\ndomain = somebody.else\n")
    second = mark()
    assert second != first
    # A domain that is changed makes nobody another one.
    (ground.two / "info/current/siteinfo").write_text("[DEFAULT]\ndomain = renamed.else\n")
    assert mark() == second


def test_rsync_leaves_out_what_the_exclude_list_says(still: Ground) -> None:
    data = still.one / "shadow"
    for name in ("var/lib/mysql/jet_shop/posts.ibd", "var/lib/pgsql/base", "var/www/html/var/lib/mysql/kept"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("x")
    excludes = still.php("return $panel->getAccount('site1')->getHomeDirExcludeList();")
    assert excludes == ["/var/lib/mysql/***", "/var/lib/pgsql/***"]
    copy = still.folder / "copy"
    subprocess.run(["rsync", "-a", *(f"--exclude={each}" for each in excludes), f"{data}/", f"{copy}/"], check=True)
    assert not (copy / "var/lib/mysql").exists()
    assert not (copy / "var/lib/pgsql").exists()
    assert (copy / "var/www/html/var/lib/mysql/kept").exists()
    assert (copy / "etc/passwd").exists()


def test_databases_and_users_are_asked_for_by_engine(still: Ground) -> None:
    mysql, mongodb, postgresql, users, roles, others, one, root = still.php(
        "$a = $panel->getAccount('site1');"
        "return [...array_map([$a, 'getDatabases'], [1, 2, 3]), $a->getDatabaseUsers(1), $a->getDatabaseUsers(3),"
        "$a->getDatabases(1, 'jet_two_other'), $a->getDatabaseUsers(1, 'jet_web@localhost'),"
        "[$panel->getDatabaseAuth(2), $panel->getAccount('root')->getDatabases(1)]];"
    )
    assert [(each["getName"], each["getEngine"], each["getEngineName"]) for each in mysql] == [("jet_shop", 1, 2)]
    assert mysql[0]["getEngineVersion"].startswith("1")
    assert mongodb == []
    assert [(each["getName"], each["getEngine"], each["getEngineName"]) for each in postgresql] == [("jet_blog", 3, 4)]
    door = mysql[0]["getAuth"]
    assert (door["getSocket"], door["isLocal"], door["getUsername"]) == (str(still.mariadb.socket), True, "root")
    assert [(user["getName"], user["getPassword"]) for user in users] == [
        ("jet_web@10.%", HASH),
        ("jet_web@localhost", HASH),
    ]
    words = [user["getPrivileges"][0] for user in users]
    assert [(each["getDatabaseName"], each["getGrants"]) for each in words] == [
        ("jet_shop", ["ALL PRIVILEGES"]),
        ("jet_shop", ["SELECT", "INSERT"]),
    ]
    assert "WITH GRANT OPTION" in users[1]["getCustomData"]
    assert [role["getName"] for role in roles] == ["jet_app"]
    assert roles[0]["getPassword"].startswith("SCRAM-SHA-256$")
    assert roles[0]["getPrivileges"][0]["getGrants"] == ["ALL PRIVILEGES"]
    assert (others, [user["getName"] for user in one], root) == ([], ["jet_web@localhost"], [None, []])


def test_the_configuration_is_a_folder_for_root_alone_and_goes_again(ground: Ground) -> None:
    code = "$a = $panel->getAccount('site1'); $c = $a->getPanelConfig();"
    first, same, other = ground.php(f"{code} return [$c->getPath(), $c->getPath(), $a->getPanelConfig()->getPath()];")
    assert first == same
    assert first != other
    folder = Path(first)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"account.json", "mysql.users.sql", "postgresql.users.sql", "info/current/siteinfo"} <= names
    assert not any("work" in name for name in names)
    assert b"own_web" in (folder / "mysql.users.sql").read_bytes()
    dropping = "$c = $panel->getAccount('site1')->getPanelConfig(); $p = $c->getPath(); $c->remove(); return $p;"
    assert not Path(ground.php(dropping)).exists()
    assert folder.is_dir()
    # What JetBackup left behind goes with the first one that is made a day later.
    os.utime(folder, (0, 0))
    ground.php(dropping)
    assert (folder.exists(), Path(other).exists()) == (False, True)
    assert ground.php("return $panel->getAccount('root')->getPanelConfig();") is None


def test_databases_and_users_of_another_panel_are_made_and_made_again(ground: Ground) -> None:
    code = f"""
        $a = $panel->getAccount('site1');
        $all = [new ForeignPrivileges('own_new', ['SELECT', 'UPDATE']), new ForeignPrivileges('own_two_other', ['ALL'])];
        $own = [new ForeignPrivileges('own_new', ['ALL PRIVILEGES'])];
        foreach ([1, 2] as $time) {{
            $found = [
                $a->addDatabase(new ForeignDatabase('own_new', 1)), $a->addDatabase(new ForeignDatabase('own_new', 3)),
                $a->addDatabaseUser(new ForeignUser('own_new@localhost', '{HASH}', 1, $all)),
                $a->addDatabaseUser(new ForeignUser('own_new', 'md5' . md5('x'), 3, $own)),
            ];
        }}
        return [$found, $log->messages];"""
    (mysql, postgresql, user, role), log = ground.php(code)
    assert (mysql["getName"], mysql["getEngine"], postgresql["getName"], postgresql["getEngine"]) == (
        "own_new",
        1,
        "own_new",
        3,
    )
    assert [(each["getDatabaseName"], each["getGrants"]) for each in user["getPrivileges"]] == [
        ("own_new", ["SELECT", "UPDATE"])
    ]
    assert [role["getName"], sorted(role["getPrivileges"][0]["getGrants"])] == [
        "own_new",
        ["CONNECT", "CREATE", "TEMPORARY"],
    ]
    grants = [grant for (grant,) in ground.mariadb.rows("SHOW GRANTS FOR 'own_new'@'localhost'")]
    assert not any("own_two" in grant or "jet\\_two" in grant for grant in grants)
    assert len(log) == 2
    assert all("not the account's own" in line for line in log)
    with pytest.raises(Refused, match="would not be site1's"):
        ground.php("return $panel->getAccount('site1')->addDatabase(new ForeignDatabase('own_two_more', 1));")


def test_a_user_of_ours_comes_back_exactly(ground: Ground) -> None:
    def grants() -> list[tuple[object, ...]]:
        return [
            *ground.mariadb.rows("SHOW GRANTS FOR 'own_web'@'localhost'"),
            *ground.mariadb.rows("SHOW GRANTS FOR 'own_web'@'10.%'"),
        ]

    before = grants()
    kept = ground.php(
        "return array_map(fn ($u) => [$u->getName(), $u->getCustomData()], $panel->getAccount('site1')->getDatabaseUsers(1));"
    )
    ground.mariadb.run("DROP USER 'own_web'@'localhost', 'own_web'@'10.%'")
    for name, data in kept:
        made = f"new ForeignUser('{name}', null, 1, [], 'Strongroom_Accounts', base64_decode('{_encoded(data)}'))"
        ground.php(f"return $panel->getAccount('site1')->addDatabaseUser({made});")
    assert grants() == before
    hostile = _encoded(
        "CREATE USER IF NOT EXISTS `root`@`%`; GRANT ALL ON *.* TO `own_web`@`localhost`; DROP DATABASE own_two_other;"
    )
    with pytest.raises(Refused, match="there is no user 'root@%'"):
        made = f"new ForeignUser('root@%', null, 1, [], 'Strongroom_Accounts', base64_decode('{hostile}'))"
        ground.php(f"return $panel->getAccount('site1')->addDatabaseUser({made});")
    assert grants() == before
    assert ground.mariadb.rows("SHOW DATABASES LIKE 'jet\\_two\\_other'")


def _encoded(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("user", "says"),
    [
        (f"'jet_x', '{HASH}', 1, [new ForeignPrivileges('jet_shop', ['ALL; DROP DATABASE mysql'])]", "is no privilege"),
        ("'jet_x', \"' OR 1\", 1, []", "is not hashed"),
        ("'jet_x', 'plain', 3, []", "is not hashed"),
        (f"'root', '{HASH}', 1, []", "there is no user 'root'"),
        ("null, null, 1, []", "has to have a name"),
        ("'jet_x', null, 2, []", "there is no \\[databases"),
    ],
)
def test_hostile_users_are_refused_in_one_sentence(still: Ground, user: str, says: str) -> None:
    before = still.mariadb.rows("SELECT User, Host FROM mysql.user ORDER BY 1, 2")
    with pytest.raises(Refused, match=says) as refused:
        still.php(f"return $panel->getAccount('site1')->addDatabaseUser(new ForeignUser({user}));")
    assert refused.value.kind == EXCEPTION
    assert "\n" not in refused.value.message
    assert still.mariadb.rows("SELECT User, Host FROM mysql.user ORDER BY 1, 2") == before


def test_after_a_restore_the_users_are_there_again(ground: Ground) -> None:
    folder = ground.php("return $panel->getAccount('site1')->getPanelConfig()->getPath();")
    back = shutil.copytree(folder, ground.folder / "came back $(touch x)\n")
    ground.mariadb.run("DROP USER 'own_web'@'localhost'")
    code = "$a = $panel->getAccount('site1'); $a->preRestore(); $a->postRestore(new Restored(CONFIG)); return $log->messages;"
    config = f"new CameBack(base64_decode('{_encoded(str(back))}'))"
    assert any("reload_site site1" in line for line in ground.php(code.replace("CONFIG", config)))
    assert ground.mariadb.rows("SELECT Host FROM mysql.user WHERE User = 'own_web' ORDER BY 1") == [
        ("10.%",),
        ("localhost",),
    ]
    # Files without a configuration have no list of attributes; of databases alone there is nothing to say.
    attributes, _ = ground.php(code.replace("CONFIG", "null, '/home'"))
    assert "Fortification" in attributes
    assert ground.php(code.replace("CONFIG", "null")) == []
    (back / "mysql.users.sql").unlink()
    (back / "mysql.users.sql").symlink_to("/etc/passwd")
    with pytest.raises(Refused, match="cannot be read"):
        ground.php(code.replace("CONFIG", config))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("$panel->createAccount('site9', $panel->getAccount('site1')->getPanelConfig())", "make it there"),
        ("$panel->getAccount('site1')->remove()", "only the panel can remove the account site1"),
        ("$panel->getAccount('site1')->setCronJob('/etc/shadow')", "part of the home"),
        ("$panel->getAccount('site1')->getDatabases(1)[0]->remove()", "only the panel can remove database jet_shop"),
        ("$panel->getAccount('site1')->getDomains()[0]->remove(true)", "only the panel can remove domain example.com"),
    ],
)
def test_what_only_the_panel_can_do_is_refused(still: Ground, code: str, says: str) -> None:
    with pytest.raises(Refused, match=says) as refused:
        still.php(f"return {code};")
    assert refused.value.kind == EXCEPTION


def test_an_account_that_is_there_is_handed_over(ground: Ground) -> None:
    made = "$panel->createAccount('site1', $panel->getAccount('site1')->getPanelConfig())"
    assert ground.php(f"return {made}->getUsername();") == "site1"
    added = "$a->addDomain($a->getDomains('ADDON.example')[0])->getName()"
    assert ground.php(f"$a = $panel->getAccount('site1'); return {added};") == "addon.example"
    shutil.rmtree(ground.two / "shadow")
    with pytest.raises(Refused, match="site2 has no folder"):
        ground.php("return $panel->getAccount('site2')->preRestore();")


def test_a_program_that_fails_is_one_sentence(ground: Ground, tmp_path: Path) -> None:
    place = Path(ground.installed["folder"]) / "Place.inc"
    program = tmp_path / "program"

    def asked(script: str, seconds: int = 60) -> Refused:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        place.write_text(installing.place((str(program),), b"/etc/x.toml"))
        with pytest.raises(Refused) as refused:
            ground.php(f"return JetBackup\\Panel\\Program::ask('count', [], {seconds});")
        assert refused.value.kind == EXCEPTION
        assert "\n" not in refused.value.message
        return refused.value

    assert "without an answer" in asked("exit 3").message
    assert "without an answer" in asked("cat >/dev/null; echo garbage").message
    assert "took longer" in asked("exec sleep 600", seconds=1).message
    told = """printf '{"error": {"code": "x", "message": "too bad"}}'; exit 2"""
    assert asked(told).message == "Strongroom: too bad"
    program.chmod(0o777)
    with pytest.raises(Refused, match="writable by nobody else"):
        ground.php("return $panel->countAccounts();")
    program.chmod(0o755)
    os.chown(program, 10000, 0)
    with pytest.raises(Refused, match="must be root's"):
        ground.php("return $panel->countAccounts();")
    program.unlink()
    with pytest.raises(Refused, match="is not there"):
        ground.php("return $panel->countAccounts();")


def test_names_that_are_no_text_go_through_both_ways(ground: Ground) -> None:
    """A home below a folder whose name is no UTF-8, and a question with such a name."""
    odd = os.fsencode(ground.folder) + b"/ro\xffot $(touch x)"
    os.rename(ground.root, odd)
    os.symlink(odd, ground.root)
    configuration = ground.config.read_text().replace('"apiscp"', '"plain"')
    ground.config.write_text(
        configuration.replace("[server]", '[server]\nlayout = "plain"\naccounts = ["/home/virtual/site2"]', 1)
    )
    try:
        code = '$a = $panel->listAccounts()[1]; return [$a->getHomeDir(), $panel->getAccount("\\xff\'; DROP\\n")];'
        home, nobody = ground.php(code)
        assert (home, nobody) == (str(ground.root / "home/virtual/site2"), None)
    finally:
        os.unlink(ground.root)
        os.rename(odd, ground.root)


def test_what_is_asked_amiss_is_refused_before_anything_is_done(still: Ground) -> None:
    for document in (
        b"",
        b"[]",
        b'{"question": "nothing"}',
        b'{"question": "list", "limit": "x"}',
        b'{"base64": "!"}',
        b"{" * 9999,
    ):
        done = subprocess.run(still.command("jetbackup", "answer"), input=document, capture_output=True)
        assert done.returncode == 2
        assert json.loads(done.stdout)["error"]["code"] == "usage"
    folder = still.folder / "precious"
    folder.mkdir()
    question = json.dumps({"question": "drop-config", "folder": str(folder)}).encode()
    done = subprocess.run(still.command("jetbackup", "answer"), input=question, capture_output=True)
    assert (done.returncode, folder.is_dir()) == (2, True)


def test_a_password_goes_to_jetbackup_and_nowhere_else(ground: Ground) -> None:
    secret = ground.folder / "password"
    secret.write_text("geheim\\'\"\n")
    secret.chmod(0o600)
    ground.config.write_text(
        ground.config.read_text().replace("[databases.mysql]", f'[databases.mysql]\npassword_file = "{secret}"')
    )
    told = ground.php("return $panel->getDatabaseAuth(1);")
    assert told["getPassword"] == "geheim\\'\""
    assert not any(b"geheim" in path.read_bytes() for path in Path(ground.installed["folder"]).rglob("*.inc"))
    secret.unlink()
    with pytest.raises(Refused, match="password of the database server has to stand in it"):
        ground.php("return $panel->getDatabaseAuth(1);")


def test_the_servers_say_their_door_and_version(still: Ground) -> None:
    server = MysqlServer(still.mariadb.settings)
    assert "MariaDB" in server.version()
    assert server.door().socket == str(still.mariadb.socket)
