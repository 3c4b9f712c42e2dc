"""The nightly job in systemd's and anacron's hands: the real systemd-analyze and a real anacron with a spool of its own."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from strongroom.config import Bacula, Config, Server, Vault
from strongroom.errors import SettingError
from strongroom.settings import timers as module
from strongroom.settings import units
from strongroom.settings.nightly import own_program
from strongroom.settings.scopes import START_RANGE, Scopes
from strongroom.settings.timers import How, Timers, next_start, tell_systemd

UNITS = "etc/systemd/system"
SCRIPT = "etc/cron.daily/strongroom"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Config:
    server = Server(root=os.fsencode(root), state=os.fsencode(tmp_path / "state"))
    return Config(path=os.fsencode(tmp_path / "config.toml"), server=server)


@pytest.fixture
def timers(config: Config) -> Timers:
    return Timers(config, Scopes(config.server))


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def verified(*paths: Path) -> str:
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr + ("" if done.returncode == 0 else f"exit status {done.returncode}")


def test_the_units_are_what_systemd_takes(timers: Timers, root: Path) -> None:
    timers.install(How.SYSTEMD)
    service, timer = (root / UNITS / f"strongroom-nightly.{kind}" for kind in ("service", "timer"))
    assert verified(service, timer) == ""
    assert "Persistent=true" in timer.read_text()
    service.write_text(service.read_text().replace("Type=oneshot", "Type=sometimes"))
    assert "sometimes" in verified(service), "the checker would have noticed"


def test_a_command_with_odd_names_is_one_command_to_systemd(tmp_path: Path) -> None:
    """What systemd would run is asked of systemd itself."""
    program = tmp_path / "a b %h $HOME"
    program.mkdir()
    config = Config(
        path=b"/etc/x",
        server=Server(state=os.fsencode(tmp_path / "state %n")),
        vault=Vault(url=f"{tmp_path}/vault $x"),
        clients={
            "b": Bacula(driver="bacula", console=b"/c", include=b"/etc/bacula/s.d", client="", storage="", pool="")
        },
    )
    tool = program / "strongroom"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    unit = tmp_path / "odd.service"
    unit.write_text(units.service(config, [str(tool), "--config", '/etc/a "b" \\ $x %n', "nightly"]))
    assert verified(unit) == ""
    assert "-/etc/bacula/s.d" in unit.read_text()
    unit.write_text(units.service(config, [str(tool) + "missing", "nightly"]))
    assert "is not executable" in verified(unit), "the checker looks at the program that was meant"


@pytest.mark.parametrize("hour", [0, 3, 23])
def test_the_hour_is_one_that_systemd_understands(hour: int) -> None:
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--base-time=2026-11-25 23:30:00 UTC", units.calendar(hour)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TZ": "UTC"},
    )
    assert done.returncode == 0, done
    ours = next_start(How.SYSTEMD, hour, datetime.fromisoformat("2026-11-25T23:30:00+00:00"), None)
    assert f"Next elapse: {ours:%a %Y-%m-%d %H:%M:%S UTC}" in done.stdout


def test_the_delay_stays_within_the_range_of_hours(timers: Timers, root: Path, config: Config) -> None:
    assert "RandomizedDelaySec=45min" in units.timer((3, 22))
    assert "OnCalendar=*-*-* 05:00:00" in units.timer((5, 6))


def test_one_kind_takes_the_place_of_the_other(timers: Timers, root: Path) -> None:
    assert timers.installed() is None
    timers.install(How.SYSTEMD)
    wanted = root / UNITS / "timers.target.wants/strongroom-nightly.timer"
    assert wanted.samefile(root / UNITS / "strongroom-nightly.timer")
    assert timers.installed() is How.SYSTEMD
    timers.install(How.CRON)
    assert files(root) == [SCRIPT]
    assert stat.S_IMODE((root / SCRIPT).stat().st_mode) == 0o755
    assert timers.installed() is How.CRON
    timers.install(How.SYSTEMD)
    timers.install(How.SYSTEMD)
    assert SCRIPT not in files(root) and len(files(root)) == 3
    assert len(timers.remove()) == 3
    assert files(root) == [] and timers.remove() == [] and timers.installed() is None


def test_what_suits_a_server_is_chosen(timers: Timers, root: Path) -> None:
    assert timers.choose() is How.CRON
    (root / "run/systemd/system").mkdir(parents=True)
    assert timers.choose() is How.SYSTEMD
    # The panel's dumps come first, and run-parts keeps the order of names.
    panel = root / "etc/cron.daily/10backup_dbs"
    panel.parent.mkdir(parents=True)
    panel.touch(0o755)
    assert timers.choose() is How.CRON
    assert "may dump databases after this timer" in timers.install(How.SYSTEMD)[0]
    timers.install(How.CRON)
    listed = subprocess.run(["run-parts", "--test", panel.parent], capture_output=True, text=True, check=True).stdout
    assert listed.split() == [str(panel), str(root / SCRIPT)]


def test_cron_daily_that_nobody_runs_is_told(timers: Timers, root: Path) -> None:
    assert timers.install(How.CRON) == ["nothing on this server runs /etc/cron.daily yet: install anacron"]
    (root / "usr/sbin").mkdir(parents=True)
    (root / "usr/sbin/anacron").touch()
    assert timers.install(How.CRON) == []


@pytest.mark.parametrize("name", [SCRIPT, f"{UNITS}/strongroom-nightly.service", f"{UNITS}/strongroom-nightly.timer"])
def test_somebody_elses_file_is_neither_replaced_nor_removed(timers: Timers, root: Path, name: str) -> None:
    place = root / name
    place.parent.mkdir(parents=True)
    place.write_text("mine\n")
    for act in (lambda: timers.install(How.CRON), lambda: timers.install(How.SYSTEMD), timers.remove):
        with pytest.raises(SettingError, match="move it away"):
            act()
    assert files(root) == [name] and place.read_text() == "mine\n"
    place.unlink()
    place.symlink_to("elsewhere")
    with pytest.raises(SettingError, match="move it away"):
        timers.install(How.CRON)


def test_when_it_begins_next() -> None:
    zone = timezone(timedelta(0))
    now = datetime(2026, 11, 25, 12, 0, tzinfo=zone)
    local = datetime(2026, 11, 25).astimezone().utcoffset()
    assert local is not None
    for hour, day in ((3, 26), (13, 25)):
        found = next_start(How.SYSTEMD, hour, now, None)
        assert (found.day, found.hour, found.minute) == (day, hour, 0)
    assert next_start(How.CRON, 3, now, None) == now, "missed this morning: as soon as anacron looks"
    assert next_start(How.CRON, 13, now, None).hour == 13
    assert next_start(How.CRON, 3, now, now - timedelta(days=3)) == now
    assert next_start(How.CRON, 3, now, now - timedelta(hours=8)).day == 26


def test_show_tells_of_a_job_that_never_ran(timers: Timers) -> None:
    now = datetime.now().astimezone()
    assert timers.show(now) == module.State(
        name="strongroom-nightly", enabled=False, how=None, next=None, last=None, result=None
    )
    timers.install(How.SYSTEMD)
    state = timers.show(now)
    assert state.enabled and state.next is not None
    assert datetime.fromisoformat(state.next) > now


def test_the_running_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a stand-in: there is no systemd to talk to where tests run."""
    program = tmp_path / "systemctl"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$1" != start ] || {{ echo no unit >&2; exit 5; }}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    tell_systemd(["daemon-reload"], ["stop", "x.timer"])
    assert (tmp_path / "calls").read_text() == "daemon-reload\nstop x.timer\n"
    with pytest.raises(SettingError, match=r"systemctl start x\.timer: no unit"):
        tell_systemd(["start", "x.timer"])


def test_the_range_of_hours_moves_an_installed_timer(timers: Timers, root: Path, config: Config) -> None:
    Scopes(config.server).set(START_RANGE, "5-6")
    timers.install(How.SYSTEMD)
    assert "OnCalendar=*-*-* 05:00:00" in (root / UNITS / "strongroom-nightly.timer").read_text()


class Anacron:
    """A real anacron that knows ``cron.daily`` of a root, with its stamps in a spool of its own."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._spool = folder / "spool"
        self._spool.mkdir()
        self._table = folder / "anacrontab"
        daily = shlex.quote(str(root / "etc/cron.daily"))
        self._table.write_text(
            f"SHELL=/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n1 0 cron.daily run-parts --report {daily}\n"
        )

    def command(self, *options: str) -> list[str]:
        return ["anacron", *options, "-n", "-d", "-t", str(self._table), "-S", str(self._spool)]

    def run(self, *options: str) -> None:
        subprocess.run(self.command(*options), check=True, capture_output=True)

    def last(self, days_ago: int) -> None:
        """As if it had run so many days ago."""
        day = datetime.now() - timedelta(days=days_ago)
        (self._spool / "cron.daily").write_text(f"{day:%Y%m%d}\n")


def test_anacron_catches_up_a_night_that_was_missed_and_runs_none_twice(
    timers: Timers, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/nights\n')
    program.chmod(0o755)
    monkeypatch.setattr(module, "own_program", lambda: (str(program),))
    timers.install(How.CRON)
    anacron = Anacron(tmp_path, root)
    nights = tmp_path / "nights"
    anacron.last(days_ago=0)
    anacron.run()
    assert not nights.exists()
    anacron.last(days_ago=3)
    anacron.run()
    anacron.run()
    assert nights.read_text() == f"--config {tmp_path}/config.toml --quiet nightly\n"


def test_the_program_that_timers_start_is_this_one() -> None:
    done = subprocess.run([*own_program(), "--version"], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.startswith("strongroom ")
