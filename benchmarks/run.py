"""``make bench`` is ``python -m benchmarks.run``; it writes docs/benchmarks.md and docs/benchmarks.json."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from benchmarks import machine
from benchmarks.contest import Contest, Given, say
from benchmarks.peers import PEERS, Peer
from benchmarks.report import record, section
from benchmarks.results import Measurement
from benchmarks.tree import LEAST, Tree
from benchmarks.works import LARGE, MIXED, Scale, Work

DOCUMENTS = Path("docs")
FOLDER = "/var/tmp/strongroom-bench"
MARK = ".strongroom-bench"


class RefusedError(Exception):
    """The benchmarks cannot run as asked; the message is one line."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmarks as the command line asks; returns the exit status."""
    options = _parser().parse_args(arguments)
    scale = _scale(options)
    tried = bool(options.quick or options.inodes or options.only)
    try:
        works = _works(options.only)
        if os.geteuid() != 0:
            raise RefusedError("accounts of many owners are made up: run this as root")
        _begin(options.folder, scale)
        tree = Tree(root=f"{options.folder}/server", inodes=scale.inodes, accounts=scale.accounts, small=scale.small)
        peers = _peers(tree, options)
        given = Given(scale=scale, tree=tree, folder=options.folder, cold=options.cold, works=works)
        measurement = _measure(given, peers)
    except RefusedError as error:
        say(f"benchmarks: {error}")
        return 2
    print(section(measurement))
    if not tried:
        record(measurement, DOCUMENTS)
        say(f"wrote the figures into {DOCUMENTS}")
    if not options.keep:
        shutil.rmtree(options.folder)
    return 1 if any(result.failure for result in measurement.results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description="Measures Strongroom beside its peers.")
    parser.add_argument("--large", action="store_true", help="a million small files, most of them in one account")
    parser.add_argument("--quick", action="store_true", help="a small tree and one round, to try; nothing is recorded")
    parser.add_argument("--inodes", type=int, help="entries in the tree, to try; nothing is recorded")
    parser.add_argument("--rounds", type=int, help="timed rounds of each piece of work")
    parser.add_argument("--days", type=int, help="timed nights with churn")
    parser.add_argument("--only", help=f"only these works, to try: {', '.join(_words())}; nothing is recorded")
    parser.add_argument("--peers", help="only these, separated by commas")
    parser.add_argument("--folder", default=FOLDER, help=f"where all of it is made; default {FOLDER}")
    parser.add_argument("--cold", action="store_true", help="let the kernel forget all files before each run")
    parser.add_argument("--keep", action="store_true", help="leave tree and repositories in the folder")
    return parser


def _scale(options: argparse.Namespace) -> Scale:
    scale = LARGE if options.large else MIXED
    if options.quick:
        scale = replace(scale, inodes=20_000, rounds=1, days=1, points=4)
    if options.inodes:
        scale = replace(scale, inodes=options.inodes)
    if not scale.small:
        scale = replace(scale, accounts=max(1, min(scale.accounts, scale.inodes // LEAST)))
    if options.quick or options.inodes:
        scale = replace(scale, title=f"{scale.inodes:,} entries, a trial")
    return replace(scale, rounds=options.rounds or scale.rounds, days=options.days or scale.days)


def _words() -> dict[str, Work]:
    return {work.name.lower(): work for work in Work}


def _works(only: str | None) -> frozenset[Work]:
    asked = only.split(",") if only else list(_words())
    unknown = set(asked) - _words().keys()
    if unknown:
        raise RefusedError(f"--only {','.join(sorted(unknown))}: not among {', '.join(_words())}")
    return frozenset(_words()[word] for word in asked)


def _begin(folder: str, scale: Scale) -> None:
    """An empty folder that is ours, on a disk with room for the trees that come back from restores."""
    if os.path.isdir(folder) and os.listdir(folder) and not os.path.exists(f"{folder}/{MARK}"):
        raise RefusedError(f"{folder}: is not empty and was not made by this command; name another with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    Path(f"{folder}/{MARK}").touch()
    room = shutil.disk_usage(folder).free
    wanted = scale.inodes * (4_500 if scale.small else 16_000) * (7 + 2 * scale.rounds)
    if room < wanted:
        raise RefusedError(f"{folder}: {wanted >> 30} GiB are needed and {room >> 30} free; try --rounds 1 or --folder")


def _peers(tree: Tree, options: argparse.Namespace) -> list[Peer]:
    asked = options.peers.split(",") if options.peers else [peer.name for peer in PEERS]
    unknown = set(asked) - {peer.name for peer in PEERS}
    if unknown:
        raise RefusedError(f"--peers {','.join(sorted(unknown))}: not among {', '.join(peer.name for peer in PEERS)}")
    peers = [peer(tree, options.folder) for peer in PEERS if peer.name in asked]
    for peer in peers:
        if not peer.available():
            say(f"{peer.name}: not installed, left out")
    return [peer for peer in peers if peer.available()]


def _measure(given: Given, peers: list[Peer]) -> Measurement:
    contest = Contest(given, peers)
    versions = {peer.name: peer.version() for peer in peers}
    if revision := machine.revision():
        versions = {name: f"{text} at {revision}" if name == "strongroom" else text for name, text in versions.items()}
    tree = contest.run()
    scale = given.scale
    return Measurement(
        title=scale.title,
        date=datetime.now(UTC).strftime("%-d %B %Y"),
        conditions=f"{scale.rounds} rounds, {scale.days} days, {'cold' if given.cold else 'warm'} caches.",
        machine=machine.facts(given.folder),
        versions=versions,
        tree=tree,
        budgets=scale.budgets,
        results=tuple(contest.results.values()),
        stored=contest.stored,
    )


if __name__ == "__main__":
    sys.exit(main())
