"""``python -m benchmarks.chains``: what a restore costs after thirty nights, by clients with chains and without.

One account is made up and backed up night after night, by each *way* in turn: with the vault, with duplicity and with tar (a
full one and increments), and with tar again with a differential every seventh night. Then some of the points are restored,
as a whole and one file, and tar's chain is made into a new full point. Counts are of what is really read: a file of a tool's
storage counts where its access time moved. It writes docs/chains.md and docs/chains.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import machine
from benchmarks.chains_report import write
from benchmarks.chains_results import Cost, Findings, Night, Restored, Way
from benchmarks.churn import churn
from benchmarks.contest import say
from benchmarks.measure import Command, CommandError, measure, output
from benchmarks.storage_read import Reading, vault_bytes
from benchmarks.tree import KEEPSAKE, LEAST, Tree, grow

FOLDER = "/var/tmp/strongroom-chains"
DOCUMENTS = Path("docs")
MARK = ".strongroom-chains"
WEEK = 7
CHANGING = "/var/www/html/changes-every-night.php"
_TAR = """#!/bin/sh
set -e
cd "$0.sets"
case $1 in
    save) point=$2 since=$3; shift 3
        exec tar --acls --xattrs -P -cf "$point" ${since:+--newer="$PWD/$since"} "$@" ;;
    load) exec tar --acls --xattrs -xf "$2" -C "$3" ;;
    list) exec ls ;;
    forget) exec rm -- "$2" ;;
esac
"""
_CONFIGURATION = """[server]
root = "{folder}/server"
state = "{folder}/state"
[vault]
url = "{folder}/vault"
passphrase_file = "{folder}/passphrase"
"""


class Bench:
    """The made-up server, and the program run on it."""

    def __init__(self, folder: str, inodes: int, ways: Sequence[Way]) -> None:
        self.folder, self.ways = folder, ways
        self.tree = Tree(root=f"{folder}/server", inodes=inodes, accounts=1, small=True)
        self.data = f"{self.tree.home()}/site1/shadow"
        self.config = f"{folder}/config.toml"

    def prepare(self) -> None:
        """Make the server, the configuration and the vault."""
        grow(self.tree)
        tables = "".join(f"[clients.{way.name}]\n{way.table}" for way in self.ways if way.table)
        Path(self.config).write_text(_CONFIGURATION.format(folder=self.folder) + tables)
        self._touch(0)
        self("init")
        for way in self.ways:
            if way.table:
                self("clients", "--probe", way.name)
                self("prune", "--client", way.name)

    def command(self, *words: str) -> Command:
        """A call of the program."""
        return Command(programs=((sys.executable, "-m", "strongroom", "--config", self.config, "--json", *words),))

    def __call__(self, *words: str) -> Any:
        return json.loads(output(self.command(*words)))

    def day(self, number: int) -> None:
        """What happens between two nights."""
        if number:
            churn(self.tree, number)
        self._touch(number)

    def _touch(self, number: int) -> None:
        Path(self.data + CHANGING).write_text(f"<?php // night {number}\n")

    def night(self, way: Way, number: int) -> Night:
        """Back up with one client."""
        level = way.level(number)
        began = time.perf_counter()
        (point,) = self("backup", "site1", "--client", way.client, "--level", level)["points"]
        return Night(point=point["id"], level=point["level"], seconds=time.perf_counter() - began)

    def restored(self, way: Way, night: Night, number: int, path: str) -> Restored:
        """Restore a point, or one file of it; forecast beside what was read and how long it took."""
        words = ["site1", *([path] if path else []), "--point", night.point, "--client", way.client]
        plan = self("plan", *words)
        forecast = Cost(runs=len(plan["reads"]), bytes=plan["bytes"], seconds=plan["seconds"])
        target = f"{self.folder}/out"
        reading = Reading(way.storage) if way.storage else None
        figure = measure([self.command("restore", *words, "--to", target)])
        # All that was asked for is there: the next measurement stands on nothing that failed.
        assert os.path.exists(f"{target}/data{path or KEEPSAKE}")
        shutil.rmtree(target)
        if reading is not None:
            found = reading.done()
            measured = Cost(runs=found.runs, bytes=found.bytes, seconds=figure.wall, inodes=found.entries)
        else:
            read, entries = vault_bytes(self.config, night.point, path)
            measured = Cost(runs=1, bytes=read, seconds=figure.wall, inodes=entries)
        return Restored(way.name, number, path, forecast, measured)

    def consolidated(self, way: Way, night: Night) -> tuple[Night, float]:
        """Make a chain into a new full point."""
        began = time.perf_counter()
        made = self("copy", night.point, "--client", way.client)
        seconds = time.perf_counter() - began
        return Night(point=made["id"], level=made["level"], seconds=seconds), seconds


def ways_of(folder: str, further: Sequence[str]) -> list[Way]:
    """The vault, duplicity, tar, tar with differentials; and what ``--client NAME=FILE`` brings."""
    found = [Way(name="vault", client="vault")]
    if shutil.which("duplicity"):
        table = f'driver = "duplicity"\nurl = "file://{folder}/duplicity"\n'
        found.append(Way(name="duplicity", client="duplicity", table=table, storage=f"{folder}/duplicity"))
    else:
        say("duplicity: not installed, left out")
    for name, differential in (("tar", 0), ("tar-weekly", WEEK)):
        found.append(_tar(folder, name, differential))
    for each in further:
        name, _, file = each.partition("=")
        found.append(Way(name=name, client=name, table=Path(file).read_text(), storage=f"{folder}/{name}"))
    return found


def _tar(folder: str, name: str, differential: int) -> Way:
    script = Path(folder) / name
    script.write_text(_TAR)
    script.chmod(0o755)
    os.makedirs(f"{script}.sets", exist_ok=True)
    table = f"""driver = "command"
backup = ["{script}", "save", "{{point}}", "{{since}}", "{{sources}}"]
restore = ["{script}", "load", "{{point}}", "{{target}}"]
list = ["{script}", "list"]
forget = ["{script}", "forget", "{{point}}"]
"""
    return Way(name=name, client=name, table=table, storage=f"{script}.sets", differential=differential)


def run(bench: Bench, runs: int, points: Sequence[int]) -> Findings:
    """The nights that are still to come, then the restores; what is known so far is said as it comes, and kept."""
    known = Path(f"{bench.folder}/nights.json")
    if known.exists():
        nights = msgspec.json.decode(known.read_bytes(), type=dict[str, list[Night]])
    else:
        bench.prepare()
        nights = {way.name: [] for way in bench.ways}
    for number in range(min(map(len, nights.values())), runs):
        bench.day(number)
        for way in bench.ways:
            nights[way.name] = [*nights[way.name][:number], bench.night(way, number)]
            say(f"night {number + 1}, {way.name}: {nights[way.name][-1].seconds:.1f} s, load {os.getloadavg()[0]:.1f}")
        known.write_bytes(msgspec.json.encode(nights))
    tree = machine.count(bench.data)
    stored = {way.name: _occupied(bench, way) for way in bench.ways}
    restores: list[Restored] = []
    full: dict[str, float] = {}
    try:
        restores.extend(_restores(bench, nights, points))
        restores.extend(_consolidations(bench, nights, runs, full))
    except KeyboardInterrupt:
        say("interrupted: the document has what was measured until now")
    return Findings(
        date=datetime.now(UTC).strftime("%-d %B %Y"),
        machine=machine.facts(bench.folder),
        revision=machine.revision(),
        load=os.getloadavg()[2],
        tree=tree,
        runs=runs,
        nights=nights,
        stored=stored,
        restores=tuple(restores),
        consolidations=full,
    )


def _restores(bench: Bench, nights: dict[str, list[Night]], points: Sequence[int]) -> Iterator[Restored]:
    """Some points of each way as a whole, and of the last a file that never changed, and one that always did."""
    last = max(points)
    for number, path in [
        (last, KEEPSAKE),
        (last, CHANGING),
        *((number, "") for number in sorted(points, reverse=True)),
    ]:
        for way in bench.ways:
            found = bench.restored(way, nights[way.name][number - 1], number, path)
            cost = found.measured
            say(f"{way.name}, {number} nights, {path or 'all'}: {cost.runs} runs, {cost.seconds:.1f} s")
            yield found


def _consolidations(
    bench: Bench, nights: dict[str, list[Night]], runs: int, full: dict[str, float]
) -> Iterator[Restored]:
    """Each chain made into a new full point, and that brought back; ``full`` gets the seconds."""
    for way in reversed(bench.ways):
        if way.name == "vault" or way.differential:
            continue
        made, full[way.name] = bench.consolidated(way, nights[way.name][-1])
        for path in ("", CHANGING):
            found = bench.restored(way, made, runs, path)
            say(f"{way.name}, made full: {found.measured.seconds:.1f} s")
            yield Restored(f"{way.name}, made full", runs, path, found.forecast, found.measured)


def _occupied(bench: Bench, way: Way) -> int:
    return machine.occupied(way.storage or f"{bench.folder}/vault")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark as the command line asks; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chains", description=__doc__)
    parser.add_argument("--inodes", type=int, default=100_000, help="entries in the account; default 100,000")
    parser.add_argument("--runs", type=int, default=30, help="nights; default 30")
    parser.add_argument("--folder", default=FOLDER, help=f"where all of it is made; default {FOLDER}")
    parser.add_argument("--client", action="append", default=[], metavar="NAME=FILE", help="one more client: its table")
    parser.add_argument("--only", help="only these ways, separated by commas; others keep their figures")
    parser.add_argument(
        "--points", help="after which nights it is restored; default the first, the middle and the last"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the nights that were made before")
    parser.add_argument("--try", action="store_true", dest="trial", help="print the document, record nothing")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if not options.resume:
            _begin(options.folder, max(options.inodes, LEAST))
        ways = ways_of(options.folder, options.client)
        only = options.only.split(",") if options.only else [way.name for way in ways]
        bench = Bench(options.folder, max(options.inodes, LEAST), [way for way in ways if way.name in only])
        asked = map(int, options.points.split(",")) if options.points else (1, (options.runs + 1) // 2, options.runs)
        findings = run(bench, options.runs, sorted({*asked, options.runs}))
    except (CommandError, OSError) as error:
        print(f"benchmarks.chains: {error}", file=sys.stderr)
        return 2
    print(write(findings, None if options.trial else DOCUMENTS))
    shutil.rmtree(options.folder)
    return 0


def _begin(folder: str, inodes: int) -> None:
    """An empty folder that is ours, with room."""
    if os.path.isdir(folder) and os.listdir(folder) and not os.path.exists(f"{folder}/{MARK}"):
        raise CommandError(f"{folder}: is not empty and was not made by this command; name another with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    Path(f"{folder}/{MARK}").touch()
    wanted, room = inodes * 4_500 * 20, shutil.disk_usage(folder).free
    if room < wanted:
        raise CommandError(f"{folder}: {wanted >> 30} GiB are needed and {room >> 30} free; try --inodes or --folder")


if __name__ == "__main__":
    sys.exit(main())
