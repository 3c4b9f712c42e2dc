"""The main job on a small real server: back up, change, back up, destroy, restore, and prove that nothing is lost."""

from __future__ import annotations

import json as standard_json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from strongroom.demo import churn, packages, place, proof, server, shop, wordpress
from strongroom.demo.information import Tenant
from strongroom.demo.place import Place
from strongroom.demo.program import Answer, Program
from strongroom.demo.proof import Manifest
from strongroom.demo.shop import Facts, Shop
from strongroom.demo.telling import Step, Telling, rate, size
from strongroom.errors import ClientError, SourceError

_DATA_LEFT_OUT = (b"var/lib/mysql", b"var/lib/pgsql")
_INFO_LEFT_OUT = (b"work",)
_MOST_SHOWN = 20
_MUCH_READ = 50_000_000
_CONFIGURATION = """[server]
layout = "apiscp"
root = {server}
state = {state}

[vault]
url = {vault}
passphrase_file = {passphrase}

[databases.mysql]
socket = {socket}
"""

Trees = dict[str, Manifest]


def run(folder: Path | None = None, plant_difference: bool = False, json: bool = False) -> int:
    """Tell the whole story in a folder (default: ``place.DEFAULT``); 0 when the proof holds, else 1.

    ``plant_difference`` changes a byte and a row after the restore, which the proof must find. With ``json``, one document goes
    to standard output and the story to standard error. Raise StrongroomError when the story cannot be told to its end.
    """
    telling = Telling(sys.stderr if json else sys.stdout)
    where = place.prepare(folder or place.DEFAULT)
    story = Story(where, telling, lambda: packages.unpacked(where.packages))
    held = story.tell(plant_difference=plant_difference)
    if json:
        print(standard_json.dumps(story.document()))
    return 0 if held else 1


class Story:
    """The demo from empty folder to verdict; ``fetch`` gives the folder of unpacked packages."""

    def __init__(
        self, where: Place, telling: Telling, fetch: Callable[[], bytes], command: Sequence[str] | None = None
    ) -> None:
        self._place = where
        self._telling = telling
        self._fetch = fetch
        self._program = Program(where.config, command)
        self._shop = Shop(where.mysql)
        self._seconds = 0.0
        self._compared = 0
        self.differences: list[str] = []

    def tell(self, *, plant_difference: bool = False) -> bool:
        """Everything in its order; True when the proof holds."""
        with closing(self._shop):
            return self._tell(plant_difference=plant_difference)

    def _tell(self, *, plant_difference: bool) -> bool:
        started = time.monotonic()
        self._telling.line(f"The main job on a small server below {self._place.folder}\n")
        built = self._build()
        tenant, museum = built.tenants[0], built.tenants[3]
        docroot = built.data(tenant) + b"/" + wordpress.DOCROOT
        self._install(docroot)
        self._initialise()
        first = self._backup(built)
        original = proof.record_of(built.data(tenant) + b"/" + wordpress.CONFIG)
        self._change(built)
        page = self._page(docroot)
        self._backup(built)
        trees, facts = self._destroy(built, tenant)
        self._restore(tenant)
        if plant_difference:
            _plant(built.data(tenant) + b"/" + wordpress.CONFIG)
            self._shop.plant()
        self._compare(tenant.name, lambda: trees, lambda: _taken(built.data(tenant), built.info(tenant)))
        self._compare_database(facts)
        self._page(docroot, page)
        self._old_version(tenant, first[tenant.name], original)
        self._beside(built, museum)
        self._check(tenant)
        place.unlock(self._place)
        self._seconds = time.monotonic() - started
        self._verdict()
        return not self.differences

    def document(self) -> dict[str, Any]:
        """The story's figures, for ``--json``."""
        return {
            "proof": "failed" if self.differences else "ok",
            "folder": str(self._place.folder),
            "seconds": round(self._seconds, 3),
            "compared": self._compared,
            "differences": self.differences,
            "steps": self._telling.steps,
        }

    def _build(self) -> server.Server:
        with self._telling.step("packages") as step:
            unpacked = self._fetch()
            step.say("Debian's wordpress with themes, unpacked, nothing installed or started")
        with self._telling.step("server") as step:
            built = server.build(os.fsencode(self._place.server), unpacked, self._shop.socket)
            step.say(f"{len(built.tenants)} accounts of the ApisCP layout:", accounts=len(built.tenants))
            step.say(", ".join(f"{tenant.name} {tenant.purpose}" for tenant in built.tenants))
            if built.skipped:
                step.say(f"this machine cannot hold, so left out: {', '.join(built.skipped)}", skipped=built.skipped)
        return built

    def _install(self, docroot: bytes) -> None:
        """Give the shop its database and its post."""
        with self._telling.step("database") as step:
            tables = self._shop.open(docroot)
            step.say(f"a MariaDB of its own; WordPress's installer made {tables} tables, and a post", tables=tables)

    def _page(self, docroot: bytes, before: bytes | None = None) -> bytes:
        """Ask the shop for its page, over loopback; with ``before``, it has to be that page again."""
        with self._telling.step("page") as step:
            try:
                page = self._shop.page(docroot)
            except SourceError as error:
                page, found = b"", [str(error)]
            else:
                post = all(word.encode() in page for word in (shop.POST, shop.TEXT_LATER))
                found = [] if post else ["the post is not in it"]
            if before is not None and not found and page != before:
                found = ["another page than before"]
            self.differences += [f"http://{shop.HOST}/: {line}" for line in found]
            verdict = "; ".join(found) or ("with its post" if before is None else "with its post, as before")
            step.say(f"http://{shop.HOST}/ by php -S: {size(len(page))}, {verdict}", bytes=len(page))
        return page

    def _initialise(self) -> None:
        names = ("server", "state", "vault", "passphrase")
        quoted = {name: standard_json.dumps(str(getattr(self._place, name))) for name in names}
        quoted["socket"] = standard_json.dumps(str(self._shop.socket))
        self._place.config.write_text(_CONFIGURATION.format(**quoted))
        with self._telling.step("init") as step:
            self._program("init")
            step.say("a vault and its passphrase; the configuration names the database server")

    def _backup(self, built: server.Server) -> dict[str, str]:
        """Back up everything; the points' ids by account."""
        with self._telling.step("backup") as step:
            answer = self._program("backup")
            points = answer.document["points"]
            self._expect(answer, "status", "complete", "backup")
            wanted = {tenant.name for tenant in built.tenants} | {"server"}
            for name in sorted(wanted - {point["account"] for point in points}):
                self.differences.append(f"backup: {name} has no point")
            _tell_backup(step, points, answer.seconds)
            self._tell_synchrony(step, points, built.tenants[0])
        return {point["account"]: point["id"] for point in points}

    def _tell_synchrony(self, step: Step, points: list[dict[str, Any]], tenant: Tenant) -> None:
        """How far apart the shop's database and files are in its point."""
        point = next((point for point in points if point["account"] == tenant.name), {})
        databases = {found["name"]: found for found in point.get("databases", ())}
        if wordpress.DATABASE not in databases:
            self.differences.append(f"backup: {wordpress.DATABASE} is not in the point of {tenant.name}")
            return
        found, position = point["synchrony"], databases[wordpress.DATABASE].get("position")
        step.say(f"{tenant.name} in step: {wordpress.DATABASE} at {position or 'a moment without a number'},")
        step.say(
            f"its files {found['gap_seconds']:.2f} s later, {found['changed_in_gap']} of them changed meanwhile",
            synchrony=found,
            position=position,
        )

    def _change(self, built: server.Server) -> None:
        with self._telling.step("change") as step:
            changes = churn.change(built)
            self._shop.edit()
            step.say(
                f"{changes.total} files, 1 %: {changes.edited} edited, {changes.added} added, "
                f"{changes.deleted} deleted, {changes.renamed} renamed",
                changed=changes.total,
            )
            step.say(
                f"{changes.behind} edited with size and mtime put back, {changes.attributes} by mode, link or type; the post"
            )

    def _destroy(self, built: server.Server, tenant: Tenant) -> tuple[Trees, Facts]:
        """Write an account down, then remove all of it."""
        with self._telling.step("destroy") as step:
            trees, facts = _taken(built.data(tenant), built.info(tenant)), self._shop.facts()
            self._shop.destroy()
            shutil.rmtree(built.data(tenant))
            shutil.rmtree(built.info(tenant))
            step.say(f"rm -rf {tenant.name}/shadow {tenant.name}/info; DROP DATABASE {wordpress.DATABASE}; DROP USER")
            step.say(f"after writing down what they held: {_sum(trees)}")
        return trees, facts

    def _restore(self, tenant: Tenant) -> None:
        with self._telling.step("restore") as step:
            answer = self._program("restore", tenant.name, "--yes")
            self._expect(answer, "status", "complete", "restore")
            files = answer.document["files"]
            step.say(
                f"{tenant.name} in place: {files['written']:,} entries, {size(files['bytes'])} "
                f"at {rate(files['bytes'], answer.seconds)}",
                **files,
            )

    def _compare(self, name: str, expected: Callable[[], Trees], restored: Callable[[], Trees]) -> None:
        """Compare what was written down with what is there now; reading both is part of the step."""
        with self._telling.step("compare") as step:
            before, after = expected(), restored()
            found = [
                f"{name} {tree}: {line}" for tree in before for line in proof.differences(before[tree], after[tree])
            ]
            self.differences += found
            self._compared += sum(len(manifest.records) for manifest in before.values())
            verdict = _differences(found).upper() if found else "all equal"
            step.say(f"{name}: {_sum(before)}: {verdict}", differences=len(found))

    def _compare_database(self, before: Facts) -> None:
        """Compare every table, by rows and definition, and the user with its grants."""
        with self._telling.step("compare") as step:
            found = [f"{wordpress.DATABASE}: {line}" for line in shop.differences(before, self._shop.facts())]
            self.differences += found
            self._compared += len(before)
            verdict = _differences(found).upper() if found else "all equal"
            step.say(
                f"{wordpress.DATABASE}: {len(before) - 2} tables by checksum and definition, its user: {verdict}",
                differences=len(found),
            )

    def _old_version(self, tenant: Tenant, point: str, original: proof.Record) -> None:
        """Bring back one file as it was at the first point, beside, and compare."""
        owners_path = "/" + os.fsdecode(wordpress.CONFIG)
        with self._telling.step("one file") as step:
            versions = self._program("history", tenant.name, owners_path).document
            target = self._place.restored / "one-file"
            answer = self._program("restore", tenant.name, owners_path, "--point", point, "--to", str(target))
            self._expect(answer, "status", "complete", "restore of one file")
            found = _one(original, os.fsencode(target) + b"/data/" + wordpress.CONFIG)
            if len(versions) < 2:
                found.append(f"history knows {len(versions)} version, not 2")
            self.differences += [f"{owners_path}: {line}" for line in found]
            self._compared += 1
            step.say(
                f"{owners_path}, as it was at the first point, in {answer.seconds:.2f} s: "
                f"{'DIFFERENT' if found else 'equal'}",
                versions=len(versions),
                restore_seconds=round(answer.seconds, 3),
            )

    def _beside(self, built: server.Server, tenant: Tenant) -> None:
        """Bring back the account with every odd thing beside, and compare it with the living one."""
        target = self._place.restored / tenant.name
        with self._telling.step("restore") as step:
            answer = self._program("restore", tenant.name, "--to", str(target))
            self._expect(answer, "status", "complete", f"restore of {tenant.name}")
            step.say(
                f"{tenant.name} beside: {answer.document['files']['written']:,} entries", **answer.document["files"]
            )
        restored = os.fsencode(target)
        self._compare(
            tenant.name,
            lambda: _taken(built.data(tenant), built.info(tenant)),
            lambda: _taken(restored + b"/data", restored + b"/info"),
        )

    def _check(self, tenant: Tenant) -> None:
        """Read the vault back, look for what must not be in it, and ask whether every account is covered."""
        with self._telling.step("check") as step:
            answer = self._program("check", "--read-data")
            self._expect(answer, "status", "clean", "check")
            read = answer.document["bytes_read"]
            step.say(
                f"{answer.document['objects']:,} objects, {size(read)} decrypted and hashed "
                f"at {rate(read, answer.seconds)}: {answer.document['status']}",
                objects=answer.document["objects"],
                bytes_read=read,
            )
        with self._telling.step("status") as step:
            covered = self._program("status")
            self._expect(covered, "status", "ok", "status")
            strays = self._program("find", tenant.name, os.fsdecode(server.FORBIDDEN)).document
            self.differences += [f"{stray['path']}: is in a point and must not be" for stray in strays]
            step.say(
                f"{len(covered.document['accounts'])} accounts: {covered.document['status']}; the overlay mount, "
                f"database servers' files: {'IN A POINT' if strays else 'left out'}"
            )

    def _expect(self, answer: Answer, key: str, value: str, what: str) -> None:
        """Count it as a difference when a command says less than that all is well."""
        said = answer.document.get(key)
        if said == value and answer.status == 0:
            return
        points = answer.document.get("points") or [answer.document]
        warnings = [warning for point in points for warning in point.get("warnings", ())]
        reasons = "; ".join(f"{warning['path']}: {warning['message']}" for warning in warnings[:3])
        self.differences.append(f"{what}: {said}, not {value} (exit status {answer.status}) {reasons}".rstrip())

    def _verdict(self) -> None:
        self._telling.line()
        if not self.differences:
            self._telling.line(
                f"PROOF OK: {self._compared:,} entries and tables equal, every byte and attribute ({self._seconds:.0f} s)"
            )
            self._telling.line(f"Look around: strongroom --config {self._place.config} points")
            return
        for line in self.differences[:_MOST_SHOWN]:
            self._telling.line(f"  {line}")
        if len(self.differences) > _MOST_SHOWN:
            self._telling.line(f"  … and {len(self.differences) - _MOST_SHOWN:,} more")
        self._telling.line(f"PROOF FAILED: {_differences(self.differences)}")


def _tell_backup(step: Step, points: list[dict[str, Any]], seconds: float) -> None:
    if not points:
        raise ClientError("strongroom backup made no point")
    counts = {
        key: sum(point["files"][key] for point in points) for key in ("seen", "changed", "unchanged", "bytes_read")
    }
    stored = sum(point["stored_bytes"] for point in points)
    levels = " and ".join(sorted({point["level"] for point in points}))
    step.say(
        f"{len(points)} points, {levels}: {counts['seen']:,} entries seen, {counts['unchanged']:,} unchanged, "
        f"{counts['changed']:,} changed",
        **counts,
        stored_bytes=stored,
        points=len(points),
    )
    read = counts["bytes_read"]
    step.say(f"{size(read)} read at {rate(read, seconds)}, {size(stored)} stored")
    if counts["unchanged"] > counts["changed"] and read > _MUCH_READ:
        step.say("(read again, not trusted: this server is younger than a file's stamp must be to prove anything)")


def _taken(data: bytes, info: bytes) -> Trees:
    return {"data": proof.take(data, _DATA_LEFT_OUT), "info": proof.take(info, _INFO_LEFT_OUT)}


def _sum(trees: Trees) -> str:
    names = sum(len(manifest.records) for manifest in trees.values())
    count = sum(manifest.bytes for manifest in trees.values())
    attributes = sum(manifest.attributes for manifest in trees.values())
    return f"{names:,} names, {size(count)}, {attributes:,} attributes"


def _differences(found: list[str]) -> str:
    return f"{len(found):,} difference{'' if len(found) == 1 else 's'}"


def _one(original: proof.Record, path: bytes) -> list[str]:
    """The differences of a single file, which is looked at under no name."""
    if not os.path.lexists(path):
        return ["did not come back"]
    name = b"file"
    now = Manifest(records={name: proof.record_of(path)})
    return proof.differences(Manifest(records={name: original}), now)


def _plant(path: bytes) -> None:
    """Change one byte and put the time back: the smallest difference there is."""
    before = os.stat(path)
    with open(path, "r+b") as stream:
        byte = os.pread(stream.fileno(), 1, 100)[0]
        os.pwrite(stream.fileno(), bytes([byte ^ 1]), 100)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
