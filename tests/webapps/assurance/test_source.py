"""What an update comes from: recognised, unpacked and put in place, and hostile archives that get nowhere."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from strongroom.errors import AssuranceError, UsageError
from strongroom.panel.folder import Folder
from strongroom.webapps.assurance.acting import Owner
from strongroom.webapps.assurance.plan import plan
from strongroom.webapps.assurance.source import components, install
from strongroom.webapps.base import App, AppState, Lock
from strongroom.webapps.kinds.dokuwiki import DokuWiki
from strongroom.webapps.kinds.ghost import Ghost
from strongroom.webapps.kinds.wordpress import WordPress
from tests.panel.servers import write

OWNER = Owner(uid=12345, gid=12345)
PLUGIN = "<?php\n/*\n * Plugin Name: Tulips\n * Version: {version}\n */\n"
APP = App(
    app="site1:/www",
    account="site1",
    kind="wordpress",
    version="6.1.9",
    path=b"/www",
    stored=b"data/www",
    place=b"",
    document_root=b"/www",
)


def plugin(folder: Path, version: str = "2.0") -> Path:
    write(folder / "tulips.php", PLUGIN.format(version=version))
    write(folder / "inc/a.php", "<?php // a\n")
    return folder


def core(folder: Path, version: str) -> Path:
    write(folder / "wp-includes/version.php", f"<?php\n$wp_version = '{version}';\n")
    write(folder / "wp-content/plugins/hello.php", "<?php // theirs\n")
    old = "<?php\n$_old_files = array(\n\t// 6.0\n\t'wp-admin/old.php',\n\t'../../etc/passwd',\n);\n"
    write(folder / "wp-admin/includes/update-core.php", old)
    return folder


def found(path: Path, kind: WordPress | DokuWiki | None = None) -> list[tuple[str, str, str, bytes]]:
    with components(os.fsencode(path), kind or WordPress(), OWNER) as offered:
        return [(each.part.value, each.name, each.version, each.place) for each in offered]


TULIPS = [("plugin", "tulips", "2.0", b"wp-content/plugins/tulips")]


def test_folders_are_recognised(tmp_path: Path) -> None:
    assert found(plugin(tmp_path / "tulips")) == TULIPS
    write(tmp_path / "red/style.css", "/*\nTheme Name: Red\nVersion: 1.5\n*/\n")
    assert found(tmp_path / "red") == [("theme", "red", "1.5", b"wp-content/themes/red")]
    assert found(core(tmp_path / "wordpress", "6.2")) == [("core", "WordPress", "6.2", b"")]
    write(tmp_path / "wiki/plugin.info.txt", "base bread\ndate 2026-01-02\n")
    assert found(tmp_path / "wiki", DokuWiki()) == [("plugin", "bread", "2026-01-02", b"lib/plugins/bread")]
    with pytest.raises(AssuranceError, match="holds nothing that WordPress could be updated with"):
        found(tmp_path / "wiki")


def test_other_kinds_have_commands_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(AssuranceError, match="give its own command after --"):
        with components(os.fsencode(tmp_path), Ghost(), OWNER):
            pass


def as_zip(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder.parent))


def as_tar(folder: Path, archive: Path) -> None:
    subprocess.run(["tar", "-C", folder.parent, "-caf", archive, folder.name], check=True)


@pytest.mark.parametrize("name", ["tulips-2.zip", "tulips.tar", "tulips.tar.gz", "tulips.tar.bz2", "tulips.tar.xz"])
def test_archives_are_unpacked_and_recognised(tmp_path: Path, name: str) -> None:
    pack = as_zip if name.endswith(".zip") else as_tar
    pack(plugin(tmp_path / "tulips"), tmp_path / name)
    assert found(tmp_path / name) == TULIPS


def test_what_packers_put_beside_everything_is_no_part_of_it(tmp_path: Path) -> None:
    as_zip(plugin(tmp_path / "tulips"), tmp_path / "tulips-2.zip")
    with zipfile.ZipFile(tmp_path / "tulips-2.zip", "a") as file:
        file.writestr("__MACOSX/._tulips", "x")
    assert found(tmp_path / "tulips-2.zip") == TULIPS


@pytest.mark.parametrize("content", [b"", b"no archive\n" * 100])
def test_what_is_no_archive_is_told_in_words_of_ours(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tulips.zip").write_bytes(content)
    with pytest.raises(AssuranceError, match="no whole archive of a kind that is read here: zip, tar"):
        found(tmp_path / "tulips.zip")


def test_a_folder_may_hold_several(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    as_zip(plugin(tmp_path / "tulips"), shelf / "b.zip")
    plugin(shelf / "roses", "3.1")
    core(shelf / "wordpress-6.2", "6.2")
    write(shelf / "README", "what is here\n")
    (shelf / "link").symlink_to(plugin(tmp_path / "elsewhere"))
    assert [(part, name) for part, name, _, _ in found(shelf)] == [
        ("plugin", "tulips"),
        ("plugin", "roses"),
        ("core", "WordPress"),
    ]


def tar_of(*members: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        for member in members:
            file.addfile(member, io.BytesIO(b"x" * member.size) if member.size else None)
    return content.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 1) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size if kind == tarfile.REGTYPE else 0
    return info


def zip_of(name: str, mode: int = 0, content: bytes = b"x") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
        file.writestr(info, content)
    return packed.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a name that leads out": lambda: tar_of(member("../out")),
    "an absolute name": lambda: tar_of(member("/tmp/out")),
    "a link": lambda: tar_of(member("in", tarfile.SYMTYPE, "/etc"), member("in/passwd")),
    "a hard link": lambda: tar_of(member("in", tarfile.LNKTYPE, "/etc/passwd")),
    "a device": lambda: tar_of(member("in", tarfile.CHRTYPE)),
    "a pipe": lambda: tar_of(member("in", tarfile.FIFOTYPE)),
    "a file twice": lambda: tar_of(member("in"), member("in")),
    "a file in a file": lambda: tar_of(member("in"), member("in/in")),
    "too deep": lambda: tar_of(member("/".join("x" * 50))),
    "a long name": lambda: tar_of(member("x" * 300)),
    "a zip that leads out": lambda: zip_of("../out"),
    "a zip with a backslash": lambda: zip_of("..\\out"),
    "a zip with a link": lambda: zip_of("in", stat.S_IFLNK | 0o777, b"/etc/passwd"),
    "no archive": lambda: b"<html>404</html>",
    "nothing": lambda: b"",
    "cut short": lambda: zip_of("in", content=os.urandom(5000))[:3000],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_get_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "in.zip").write_bytes(HOSTILE[name]())
    with pytest.raises(AssuranceError) as refused:
        found(tmp_path / "in.zip")
    assert str(refused.value).startswith(f"{tmp_path}/in.zip")
    assert "\n" not in str(refused.value)


def installed(source: Path, app: Path) -> tuple[int, int, int]:
    with components(os.fsencode(source), WordPress(), OWNER) as (one,):
        folder = os.open(app, os.O_RDONLY)
        try:
            done = install(one, folder, OWNER)
        finally:
            os.close(folder)
    return done.added, done.replaced, done.removed


@pytest.fixture
def app(passable: Path) -> Path:
    """A small WordPress with a plugin, all of it the owner's."""
    root = core(passable / "app", "6.1.9")
    plugin(root / "wp-content/plugins/tulips", "1.0")
    write(root / "wp-content/plugins/tulips/old/gone.php", "<?php\n")
    write(root / "wp-admin/old.php", "<?php // old\n")
    write(root / "wp-admin/own.php", "<?php // the owner's\n")
    write(root / "wp-config.php", "<?php // settings\n")
    subprocess.run(["chown", "-R", f"{OWNER.uid}:{OWNER.gid}", root], check=True)
    return root


def test_a_plugin_is_replaced_whole_and_is_the_owners(tmp_path: Path, app: Path) -> None:
    folder = app / "wp-content/plugins/tulips"
    (folder / "tulips.php").chmod(0o640)
    assert installed(plugin(tmp_path / "tulips"), app) == (0, 2, 2)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == ["inc", "inc/a.php", "tulips.php"]
    assert "Version: 2.0" in (folder / "tulips.php").read_text()
    for path in (folder / "tulips.php", folder / "inc/a.php"):
        assert path.stat().st_uid == OWNER.uid
    assert stat.S_IMODE((folder / "tulips.php").stat().st_mode) == 0o640
    assert not list(app.rglob(".strongroom-*"))


def test_acls_of_files_and_of_folders_count(tmp_path: Path, app: Path) -> None:
    folder = app / "wp-content/plugins/tulips"
    subprocess.run(["setfacl", "-m", "u:48:rwx,d:u:48:rwx", folder], check=True)
    subprocess.run(["setfacl", "-m", "u:48:rw", folder / "inc/a.php"], check=True)
    source = plugin(tmp_path / "tulips")
    write(source / "new.php", "<?php\n")
    installed(source, app)
    for path in (folder / "inc/a.php", folder / "new.php"):
        said = subprocess.run(["getfacl", "-npc", path], check=True, capture_output=True, text=True).stdout
        assert "user:48:rw" in said, path


def test_a_core_leaves_what_is_the_apps_own(tmp_path: Path, app: Path) -> None:
    source = core(tmp_path / "wordpress", "6.2")
    write(source / "wp-config.php", "<?php // theirs\n")
    write(source / "wp-new.php", "<?php\n")
    assert installed(source, app) == (1, 2, 1)
    assert (app / "wp-config.php").read_text() == "<?php // settings\n"
    assert not (app / "wp-admin/old.php").exists(), "the new core names it as gone"
    assert (app / "wp-admin/own.php").exists()
    assert (app / "wp-content/plugins/tulips/old/gone.php").exists()
    assert "6.2" in (app / "wp-includes/version.php").read_text()
    assert (app / ".maintenance").exists(), "until the database is upgraded"


def test_a_link_planted_in_the_app_leads_no_further_than_its_owner(tmp_path: Path, app: Path) -> None:
    target = tmp_path / "roots"
    target.mkdir(mode=0o755)
    write(target / "a.php", "root's\n")
    inside = app / "wp-content/plugins/tulips/inc"
    subprocess.run(["rm", "-r", inside], check=True)
    inside.symlink_to(target)
    installed(plugin(tmp_path / "tulips"), app)
    assert (target / "a.php").read_text() == "root's\n"
    assert (inside / "a.php").read_text() == "<?php // a\n"


def test_a_source_with_links_is_refused_before_anything_is_touched(tmp_path: Path, app: Path) -> None:
    source = plugin(tmp_path / "tulips")
    (source / "x").symlink_to("/etc/passwd")
    with pytest.raises(AssuranceError):
        installed(source, app)
    assert "Version: 1.0" in (app / "wp-content/plugins/tulips/tulips.php").read_text()
    assert not list(app.rglob(".strongroom-*"))


def planned(app: Path, shelf: Path, lock: Lock = Lock.NONE) -> tuple[list[str], tuple[str, ...]]:
    subject = replace(APP, state=AppState(locked=lock))
    with components(os.fsencode(shelf), WordPress(), OWNER) as offered, Folder.at(os.fsencode(app)) as folder:
        made = plan(subject, WordPress(), offered, folder)
    return [each.shown for each in made.steps], made.skipped


def test_the_plan_for_a_shelf(tmp_path: Path, app: Path) -> None:
    for version in ("6.1.9", "6.1.10", "6.2.1", "6.2", "7.0"):
        core(tmp_path / f"shelf/{version}", version)
    plugin(tmp_path / "shelf/tulips", "2.0")
    plugin(tmp_path / "shelf/roses", "1.0")
    steps, skipped = planned(app, tmp_path / "shelf")
    assert steps == ["core 6.1.10", "core 6.2.1", "core 7.0", "plugin tulips 2.0"]
    assert skipped == (
        "core 6.1.9: the app has 6.1.9",
        "core 6.2: a higher step is taken",
        "plugin roses 1.0: the app does not have it",
    )
    assert planned(app, tmp_path / "shelf", Lock.MINOR)[0] == ["core 6.1.10", "plugin tulips 2.0"]


def test_one_component_that_may_not_be_is_refused(tmp_path: Path, app: Path) -> None:
    with pytest.raises(UsageError, match=r"core 6\.0 is older than 6\.1\.9"):
        planned(app, core(tmp_path / "old", "6.0"))
    with pytest.raises(UsageError, match=r"locked to its minor version of 6\.1\.9"):
        planned(app, core(tmp_path / "new", "6.2"), Lock.MINOR)
    assert planned(app, plugin(tmp_path / "roses"))[0] == ["plugin roses 2.0"]
