"""A repository is its tenant's: whatever he writes into it runs nothing, leads nowhere, and brings him no rights."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.errors import SnapshotError, StrongroomError
from strongroom.webapps.base import Snapshot
from tests.webapps.ground import SMALL, SMALL_UID, Apps, own
from tests.webapps.keeping import Keeping

HOOKS = (
    "pre-commit", "post-commit", "commit-msg", "prepare-commit-msg", "post-checkout", "post-merge", "pre-auto-gc",
    "reference-transaction", "post-index-change", "post-rewrite", "fsmonitor-watchman", "update", "pre-receive",
)  # fmt: skip


class Trap:
    """A program that leaves a mark when anybody runs it."""

    def __init__(self, folder: Path) -> None:
        self.mark = folder / "mark"
        self.mark.mkdir()
        self.mark.chmod(0o777)
        self.program = folder / "evil"
        self.program.write_text(f"#!/bin/sh\nid -u >> {self.mark}/by-$$\ncat\n")
        self.program.chmod(0o755)

    @property
    def sprung(self) -> bool:
        return any(self.mark.iterdir())

    def clear(self) -> None:
        for each in self.mark.iterdir():
            each.unlink()


@pytest.fixture
def keeping(small: Apps) -> Keeping:
    return Keeping(small, SMALL)


@pytest.fixture
def trap(small: Apps) -> Trap:
    return Trap(small.folder)


def everything(keeping: Keeping) -> None:
    """Every command that works on a repository, and what drops old snapshots of it."""
    keeping.keep = 1
    snapshots, app = keeping.snapshots, keeping.app
    snapshots.take(app, "again")
    snapshots.list(app)
    snapshots.diff(app, "latest")
    (keeping.folder / "index.php").write_text("<?php // changed")
    snapshots.rollback(app)
    assert (keeping.folder / "index.php").read_text() == "<?php echo 'one';"


def test_nothing_that_a_repository_can_say_is_run(keeping: Keeping, trap: Trap) -> None:
    keeping.snapshots.enable(keeping.app)
    git, evil = keeping.folder / ".git", trap.program
    (git / "hooks").mkdir()
    for name in HOOKS:
        shutil.copy(evil, git / "hooks" / name)
    (keeping.folder / ".gitattributes").write_text("* filter=evil diff=evil merge=evil ident text eol=crlf\n")
    (git / "info/attributes").write_text("* filter=evil diff=evil\n")
    more = keeping.server.folder / "included"
    more.write_text(f"[alias]\n\tstatus = !{evil}\n")
    (git / "config").write_text(
        f"""[core]
\trepositoryformatversion = 0
\thooksPath = {git}/hooks
\tfsmonitor = {evil}
\tsshCommand = {evil}
\tpager = {evil}
\teditor = {evil}
\taskPass = {evil}
\tgitProxy = {evil}
\talternateRefsCommand = {evil}
\tworktree = /
\tattributesFile = {git}/info/attributes
[filter "evil"]
\tclean = {evil}
\tsmudge = {evil}
\tprocess = {evil}
\trequired = true
[diff]
\texternal = {evil}
[diff "evil"]
\tcommand = {evil}
\ttextconv = {evil}
[merge "evil"]
\tdriver = {evil}
[gpg]
\tprogram = {evil}
[commit]
\tgpgSign = true
[log]
\tshowSignature = true
[credential]
\thelper = {evil}
[pager]
\tlog = {evil}
\tcat-file = {evil}
[uploadpack]
\tpackObjectsHook = {evil}
[gc]
\tauto = 1
[protocol "ext"]
\tallow = always
[extensions]
\tpartialClone = origin
[remote "origin"]
\turl = ext::{evil}
\tpromisor = true
\tuploadpack = {evil}
[include]
\tpath = {more}
"""
    )
    own(git)
    everything(keeping)
    assert not trap.sprung
    # The trap is one: git that believes the repository falls into it.
    plain = ["git", "-c", "core.worktree=" + str(keeping.folder), "status"]
    subprocess.run(plain, cwd=keeping.folder, user=SMALL_UID, group=SMALL_UID, extra_groups=[], capture_output=True)
    assert trap.sprung


def test_files_come_back_as_they_were_whatever_attributes_say(keeping: Keeping) -> None:
    (keeping.folder / ".gitattributes").write_text("* text eol=crlf ident export-ignore\n")
    (keeping.folder / "ident.txt").write_bytes(b"$Id$\nline\r\nline\n\xff\0")
    (keeping.folder / ".gitignore").write_text("*\n")
    keeping.snapshots.enable(keeping.app)
    copy = keeping.copy(keeping.server.folder / "copy")
    (keeping.folder / "ident.txt").write_bytes(b"other")
    (keeping.folder / "lib/new.php").write_bytes(b"new")
    keeping.snapshots.rollback(keeping.app)
    assert keeping.differs(copy, b"cache") == []


def test_repositories_within_an_app_are_files_like_others(keeping: Keeping) -> None:
    nested = keeping.folder / "lib/plugin"
    nested.mkdir()
    subprocess.run(["git", "init", "-q", nested], check=True)
    for name in (".GIT", "GIT~1", ".gitmodules", ".git\u200c"):
        (nested / name).mkdir() if name == ".gitmodules" else (nested / name).write_text(name)
    (nested / ".gitmodules").rmdir()
    (nested / ".gitmodules").symlink_to("elsewhere")
    own(nested)
    keeping.snapshots.enable(keeping.app)
    copy = keeping.copy(keeping.server.folder / "copy")
    shutil.rmtree(nested)
    keeping.snapshots.rollback(keeping.app)
    assert keeping.differs(copy, b"cache") == []


def _to_elsewhere(git: Path, elsewhere: Path) -> None:
    shutil.rmtree(git)
    git.symlink_to(elsewhere / ".git")


def _branch_link(git: Path, elsewhere: Path) -> None:
    (git / "refs/heads/snapshots").unlink()
    (git / "refs/heads/snapshots").symlink_to("/etc/passwd")


def _branch_pipe(git: Path, elsewhere: Path) -> None:
    (git / "refs/heads/snapshots").unlink()
    os.mkfifo(git / "refs/heads/snapshots")


def _branch_huge(git: Path, elsewhere: Path) -> None:
    with (git / "refs/heads/snapshots").open("wb") as file:
        file.truncate(1 << 40)


def _branch_wrong(git: Path, elsewhere: Path) -> None:
    (git / "refs/heads/snapshots").write_text("f" * 40 + "\n")


def _no_objects(git: Path, elsewhere: Path) -> None:
    shutil.rmtree(git / "objects")


def _emptied_objects(git: Path, elsewhere: Path) -> None:
    for each in (git / "objects").rglob("*"):
        if each.is_file():
            each.chmod(0o600)
            each.write_bytes(b"")


@pytest.mark.parametrize(
    "spoil",
    [_to_elsewhere, _branch_link, _branch_pipe, _branch_huge, _branch_wrong, _no_objects, _emptied_objects],
)
def test_a_repository_that_is_none_any_more_is_one_line_and_changes_nothing(
    keeping: Keeping, spoil: Callable[[Path, Path], None]
) -> None:
    keeping.snapshots.enable(keeping.app)
    app = keeping.app
    elsewhere = keeping.server.folder / "elsewhere"
    shutil.copytree(keeping.folder, elsewhere, symlinks=True)
    spoil(keeping.folder / ".git", elsewhere)
    copy = keeping.copy(keeping.server.folder / "copy")
    for act in (
        lambda: keeping.snapshots.rollback(app),
        lambda: keeping.snapshots.list(app),
        lambda: keeping.snapshots.diff(app, "latest"),
    ):
        with pytest.raises(StrongroomError) as raised:
            act()
        assert "\n" not in str(raised.value)
    assert keeping.differs(copy) == []


def forge(keeping: Keeping, edit: Callable[[bytes], bytes]) -> None:
    """Make a commit as a tenant would: the newest snapshot with other attributes, whose digest he knows to make."""
    from blake3 import blake3

    def git(*arguments: str, given: bytes = b"") -> bytes:
        return subprocess.run(
            ["git", *arguments], input=given, cwd=keeping.folder, check=True, capture_output=True,
            user=SMALL_UID, group=SMALL_UID, extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x",
                 "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x"},
        ).stdout  # fmt: skip

    listed = git("ls-tree", "-r", "-z", "HEAD").split(b"\0")[:-1]
    lines = edit(git("cat-file", "blob", "HEAD:.strongroom/attributes/000000"))
    facts = git("cat-file", "blob", "HEAD:.strongroom/snapshot.json")
    old = blake3(git("cat-file", "blob", "HEAD:.strongroom/attributes/000000")).hexdigest().encode()
    facts = facts.replace(old, blake3(lines).hexdigest().encode())
    put = {b".strongroom/attributes/000000": lines, b".strongroom/snapshot.json": facts}
    entries = []
    for line in listed:
        head, _, path = line.partition(b"\t")
        if path in put:
            blob = git("hash-object", "-w", "--stdin", given=put[path]).strip()
            head = b"100644 blob " + blob
        entries.append((head, path))
    index = b"".join(head.replace(b" blob ", b" ") + b"\t" + path + b"\0" for head, path in entries)
    git("update-index", "-z", "--index-info", given=index)
    tree = git("write-tree").strip().decode()
    commit = git("commit-tree", tree, "-p", "HEAD", "-m", "forged").strip().decode()
    git("update-ref", "refs/heads/snapshots", commit)


def test_a_forged_snapshot_brings_no_rights(keeping: Keeping) -> None:
    keeping.snapshots.enable(keeping.app)

    def edit(lines: bytes) -> bytes:
        out = []
        for line in lines.splitlines():
            if b'"path":"index.php"' in line:
                line = line.replace(b'"mode":"0644"', b'"mode":"4755"').replace(b'"uid":10030', b'"uid":0')
                line = line.replace(b'"gid":10030', b'"gid":0')
                line = line[:-1] + b',"xattrs":{"security.capability":"AQAAAgAgAAAAAAAAAAAAAAAAAAA="}}'
            out.append(line + b"\n")
        device = b'{"path":"null","type":"char","mode":"0666","uid":10030,"gid":10030,"time":"1.0","rdev":[1,3]}\n'
        return b"".join([*out, device])

    forge(keeping, edit)
    newest: Snapshot = keeping.snapshots.list(keeping.app)[0]
    assert newest.sealed is False
    back = keeping.snapshots.rollback(keeping.app)
    assert any("not made on this server" in warning.message for warning in back.warnings)
    status = (keeping.folder / "index.php").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (SMALL_UID, SMALL_UID, 0o755)
    assert os.listxattr(keeping.folder / "index.php") == []
    assert not (keeping.folder / "null").exists()


def test_a_snapshot_of_another_app_is_not_believed(keeping: Keeping) -> None:
    keeping.snapshots.enable(keeping.app)
    other = keeping.server.docroot(3).parent / "other"
    subprocess.run(["cp", "-a", keeping.folder, other], check=True)
    mine = Keeping(keeping.server, "site3:/var/www/other")
    assert [each.sealed for each in mine.snapshots.list(mine.app)] == [False]
    assert [each.sealed for each in keeping.snapshots.list(keeping.app)] == [True]


def test_paths_of_a_forged_snapshot_lead_nowhere(keeping: Keeping) -> None:
    keeping.snapshots.enable(keeping.app)
    line = b'{"path":"../../../etc/evil","type":"file","mode":"0644","uid":10030,"gid":10030,"time":"1.0"}\n'
    forge(keeping, lambda lines: lines + line)
    with pytest.raises(SnapshotError):
        keeping.snapshots.rollback(keeping.app)


def test_a_damaged_file_of_a_snapshot_refuses_the_rollback_before_anything_changed(keeping: Keeping) -> None:
    first = keeping.snapshots.enable(keeping.app)
    blob = keeping.git("rev-parse", "HEAD:lib/a.php")
    packs = [path for path in (keeping.folder / ".git/objects/pack").iterdir() if path.suffix == ".pack"]
    packed = [path.read_bytes() for path in packs]
    for path in (keeping.folder / ".git/objects/pack").iterdir():
        path.unlink()
    for pack in packed:
        keeping.git("unpack-objects", given=pack)
    (keeping.folder / "lib/a.php").write_text("<?php // changed")
    (keeping.folder / "index.php").write_text("<?php // changed")
    (keeping.folder / f".git/objects/{blob[:2]}/{blob[2:]}").unlink()
    copy = keeping.copy(keeping.server.folder / "copy")
    with pytest.raises(SnapshotError, match="damaged"):
        keeping.snapshots.rollback(keeping.app, first.id)
    assert keeping.differs(copy) == []


def test_git_is_never_root_and_sees_no_environment_of_ours(small: Apps, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = small.folder / "seen"
    seen.mkdir(mode=0o777)
    seen.chmod(0o777)
    programs = small.folder / "programs"
    programs.mkdir()
    (programs / "git").write_text(f'#!/bin/sh\n(id -u; env) > {seen}/$$\nexec /usr/bin/git "$@"\n')
    (programs / "git").chmod(0o755)
    from strongroom.webapps.snapshots import git

    monkeypatch.setitem(git._ENVIRONMENT, "PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("GIT_DIR", "/etc")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    keeping = Keeping(small, SMALL)
    keeping.snapshots.enable(keeping.app)
    said = [each.read_text() for each in seen.iterdir()]
    assert said and all(each.startswith(f"{SMALL_UID}\n") for each in said)
    assert not any("secret" in each or "GIT_DIR=/etc" in each for each in said)


def test_a_repository_of_the_owners_own_stays_as_it_is(small: Apps) -> None:
    keeping = Keeping(small, SMALL)
    subprocess.run(["git", "init", "-q", keeping.folder], check=True)
    own(keeping.folder)
    copy = keeping.copy(small.folder / "copy")
    for act in (keeping.snapshots.enable, keeping.snapshots.disable, keeping.snapshots.list):
        with pytest.raises(SnapshotError):
            act(keeping.app)
    subprocess.run(["diff", "-r", copy, keeping.folder], check=True)


def test_a_folder_that_became_a_link_is_refused(keeping: Keeping) -> None:
    keeping.snapshots.enable(keeping.app)
    app, folder = keeping.app, keeping.folder
    moved = folder.with_name("moved")
    folder.rename(moved)
    folder.symlink_to(moved)
    for act in (
        keeping.snapshots.list,
        keeping.snapshots.rollback,
        keeping.snapshots.disable,
        keeping.snapshots.enable,
    ):
        with pytest.raises(StrongroomError, match="links are not followed"):
            act(app)
    assert (moved / ".git/HEAD").is_file()


def test_an_app_of_too_many_files_is_refused_alone(keeping: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    from strongroom.webapps.snapshots import picture

    monkeypatch.setattr(picture, "MOST_ENTRIES", 5)
    with pytest.raises(SnapshotError, match="too many"):
        keeping.snapshots.enable(keeping.app)
    monkeypatch.undo()
    keeping.snapshots.enable(keeping.app)
