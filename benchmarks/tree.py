"""A made-up hosting server, the same for the same seed: accounts of the apiscp layout below a folder of their own.

Two kinds. A *mixed* tree has on each account what hosting accounts hold: PHP trees, the same core and the same plugins
on several of them, images, Maildirs, logs, links, sparse files, odd names. A *small* tree is one huge account of files
of 0 to 4 KB, and three little ones. Entries (files, folders and all else) are counted: as many as were asked for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from random import Random

from benchmarks.matter import Matter
from benchmarks.writer import Writer, moment_of
from strongroom.model import Frozen

SERVICES = ("siteinfo", "aliases", "apache", "auth", "mail", "users", "diskquota", "ssh", "dns", "ipinfo")
KEEPSAKE = "/var/www/html/wp-config.php"  # a small file of every account that no churn touches
PARTS = 16
LEAST = 600


class Tree(Frozen):
    """Which server to make up. ``root`` is the folder that stands for ``/``."""

    root: str
    inodes: int
    accounts: int = 20
    small: bool = False
    seed: int = 2026

    def names(self) -> list[str]:
        """The accounts."""
        return [f"site{number}" for number in range(1, self.accounts + 1)]

    def home(self) -> str:
        """The folder of all accounts."""
        return f"{self.root}/home/virtual"


class Part(Frozen):
    """A share of one account that one process makes alone."""

    tree: Tree
    number: int
    index: int
    entries: int


def grow(tree: Tree) -> int:
    """Makes the server below ``tree.root``; returns how many entries its accounts have. Needs root."""
    os.umask(0o022)
    made = [_skeleton(tree, number) for number in range(1, tree.accounts + 1)]
    parts = [part for number, entries in enumerate(made, 1) for part in _parts(tree, number, entries)]
    matter(tree.seed)
    with ProcessPoolExecutor() as pool:
        return sum(made) + sum(pool.map(_fill, parts))


@lru_cache(maxsize=1)
def matter(seed: int) -> Matter:
    """The source of contents, made once in each process."""
    return Matter(seed)


def _parts(tree: Tree, number: int, made: int) -> list[Part]:
    if not tree.small:
        return [Part(tree=tree, number=number, index=0, entries=_share(tree.inodes, tree.accounts, number - 1) - made)]
    little = tree.inodes // 50
    if number > 1:
        return [Part(tree=tree, number=number, index=0, entries=little - made)]
    huge = tree.inodes - little * (tree.accounts - 1) - made
    return [Part(tree=tree, number=1, index=index, entries=_share(huge, PARTS, index)) for index in range(PARTS)]


def _share(whole: int, parts: int, index: int) -> int:
    """The size of one of `parts` nearly equal shares that add up to `whole`."""
    return whole // parts + (index < whole % parts)


def _fill(part: Part) -> int:
    tree = part.tree
    uid = 1000 + part.number
    rng = Random(f"{tree.seed} {part.number} {part.index}")
    writer = Writer(f"{tree.home()}/site{part.number}/shadow".encode(), uid, rng)
    if tree.small:
        _small(writer, rng, matter(tree.seed), part)
    else:
        _mixed(writer, rng, matter(tree.seed), part)
    writer.finish()
    return writer.entries


def _skeleton(tree: Tree, number: int) -> int:
    """What every account has: its metadata, its users, its empty folders, and the links that lead to it."""
    domain, admin, uid = f"example{number}.test", f"admin{number}", 1000 + number
    home = f"{tree.home()}/site{number}"
    os.makedirs(home)
    for name in (domain, admin):
        os.symlink(f"/home/virtual/site{number}/fst", f"{tree.home()}/{name}")
    writer = Writer(home.encode(), uid, Random(f"{tree.seed} {number} skeleton"))
    with writer.folder(b"info/current") as fd:
        for service in SERVICES:
            lines = "[DEFAULT]\nenabled = 1\n"
            if service == "siteinfo":
                lines += f"domain = {domain}\nadmin_user = owner{number}\nadmin = {admin}\nemail = me@{domain}\n"
            writer.file(fd, service.encode(), lines.encode(), 0o600)
    for empty in (b"info/old", b"info/new", b"info/users", b"shadow/tmp", b"shadow/var/lib", b"shadow/var/www/html"):
        with writer.folder(empty):
            pass
    with writer.folder(b"shadow/etc") as fd:
        writer.file(fd, b"passwd", f"owner{number}:x:{uid}:{uid}::/home/owner{number}:/bin/bash\n".encode())
        writer.file(fd, b"group", f"{admin}:x:{uid}:\n".encode())
    with writer.folder(b"shadow/var/www/html") as fd:
        writer.file(fd, b"wp-config.php", b"<?php\n// " + f"{domain}\n".encode() * 90, 0o640)
    writer.finish(plain=True)
    return writer.entries


def _mixed(writer: Writer, rng: Random, source: Matter, part: Part) -> None:
    """A hosting account of ``part.entries`` entries, of about 15 kB each."""
    site, number, entries = b"var/www/html", part.number, max(part.entries - 100, 0)
    core = Random(f"{part.tree.seed} core {number % 3}")
    package(writer, core, source, site + b"/wp-includes", entries * 35 // 100)
    for slot in range(4):  # four plugins of a dozen that are in use on this server
        chosen = (number * 5 + slot * 7) % 12
        plugin = Random(f"{part.tree.seed} plugin {chosen}")
        package(writer, plugin, source, site + b"/wp-content/plugins/p%d" % chosen, entries * 4 // 100)
    package(writer, rng, source, site + b"/wp-content/themes/own", entries * 12 // 100)
    _images(writer, rng, source, entries * 11 // 100)
    _mail(writer, rng, source, b"home/owner%d" % number, entries * 18 // 100)
    _logs(writer, rng, source, entries)
    _odd(writer, rng, source, entries)

    def cached(fd: int, index: int) -> None:
        writer.file(fd, b"%05d.cache" % index, source.text(rng, int(rng.random() * 4000)))

    _fill_up(writer, part.entries, cached, site + b"/cache")


def package(writer: Writer, rng: Random, source: Matter, base: bytes, entries: int) -> None:
    """A tree of source files; all but attributes follows from `rng`, so that another account can have the very same."""
    paths = [base]
    for index in range(entries // 13 - 1):
        paths.append(paths[int(rng.random() * len(paths))] + b"/f%d" % index)
    for path in paths:
        with writer.folder(path) as fd:
            for index in range(12):
                size = min(400_000, int(rng.lognormvariate(8.0, 1.4)))
                if index == 11:
                    writer.file(fd, b"icon.png", source.image(rng, size), moment=moment_of(rng))
                else:
                    name = b"class-%04x.php" % (index + 16 * rng.getrandbits(8))
                    writer.file(fd, name, source.php(rng, size), moment=moment_of(rng))


def _images(writer: Writer, rng: Random, source: Matter, count: int) -> None:
    for month in range(-(-count // 40)):
        with writer.folder(b"var/www/html/wp-content/uploads/%d/%02d" % (2020 + month // 12, month % 12 + 1)) as fd:
            for index in range(min(40, count - 40 * month)):
                size = min(3_000_000, int(rng.lognormvariate(10.6, 1.0)))
                writer.file(fd, b"img_%d-%dx300.jpg" % (index, rng.randrange(99)), source.image(rng, size), 0o664)


def _mail(writer: Writer, rng: Random, source: Matter, home: bytes, count: int) -> None:
    boxes = [home + b"/Mail/" + box for box in (b"cur", b"new", b"tmp", b".Sent/cur", b".Sent/new", b".Junk/cur")]
    for box in boxes:
        full = 0 if box.endswith(b"tmp") else count // 5
        with writer.folder(box) as fd:
            for index in range(full):
                size = min(4_000_000, int(rng.lognormvariate(8.3, 1.1)))
                name = b"%d.M%06dP%d.host,S=%d:2,S" % (1_700_000_000 + index, rng.randrange(10**6), index, size)
                writer.file(fd, name, source.mail(rng, size), 0o600)


def _logs(writer: Writer, rng: Random, source: Matter, entries: int) -> None:
    with writer.folder(b"var/log/httpd") as fd:
        for day in range(12):
            writer.file(fd, b"access_log.%d" % day, source.log(rng, entries * 100))
    with writer.folder(b"var/media") as fd:
        writer.file(fd, b"film.mp4", source.image(rng, entries * 600))


def _odd(writer: Writer, rng: Random, source: Matter, entries: int) -> None:
    """What file systems hold beside plain files with plain names."""
    with writer.folder(b"var/odd") as fd:
        writer.sparse(fd, b"database.img", source.text(rng, 65_536), 4 << 20)
        writer.node(fd, b"pipe", stat.S_IFIFO)
        writer.node(fd, b"removed-below", stat.S_IFCHR)
        for name in (b"new\nline", b"latin-\xe9\xff", b"-rf", b" blank ", b"n" * 255, "größe".encode(), b"back\\*"):
            writer.file(fd, name, source.text(rng, 100))
        writer.file(fd, b"empty", b"")
        writer.file(fd, b"set-id", b"#!/bin/sh\n", 0o6755)
        writer.file(fd, b"before-1970", b"old", moment=-86_400_123_456_789)
    with writer.folder(b"var/odd/links") as fd:
        writer.file(fd, b"here", b"here")
        for index in range(entries // 200):
            target = (b"here", b"/usr/share/php", b"../gone", b"caf\xe9")[index % 4]
            writer.symlink(fd, b"link%d" % index, target)
        for index in range(entries // 400):
            writer.file(fd, b"one%d" % index, source.text(rng, 900))
            writer.link(fd, b"two%d" % index, b"one%d" % index)


def _small(writer: Writer, rng: Random, source: Matter, part: Part) -> None:
    """Folders in folders of about 16 files of 0 to 4 KB each."""
    base = b"var/www/html/store/%02d" % part.index

    def one(fd: int, index: int) -> None:
        writer.file(fd, b"%05x%03x.php" % (rng.getrandbits(20), index), source.text(rng, int(rng.random() * 4097)))

    paths = [base]
    for path in paths:
        if writer.entries > part.entries - 64:
            break
        with writer.folder(path) as fd:
            for index in range(8 + rng.getrandbits(4)):
                one(fd, index)
        paths.extend(path + b"/%d" % child for child in range(8))
    _fill_up(writer, part.entries, one, base + b"/rest")


def _fill_up(writer: Writer, entries: int, one: Callable[[int, int], None], path: bytes) -> None:
    """Small files in one more folder until there are `entries` of all."""
    with writer.folder(path) as fd:
        if writer.entries > entries:
            raise ValueError(f"{entries} entries are too few for an account: ask for {LEAST} in each, or more")
        for index in range(entries - writer.entries):
            one(fd, index)
