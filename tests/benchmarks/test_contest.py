"""The contest, with copies as backups: everyone does all the work, and what comes back wrong is seen."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks.contest import Contest, Given
from benchmarks.measure import Command
from benchmarks.peers import Peer, Steps, configuration
from benchmarks.tree import KEEPSAKE, LEAST, Tree
from benchmarks.works import MIXED, Scale, Work

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files of many owners are made")


def run(*program: str) -> Steps:
    return [Command(programs=(program,))]


class Copies(Peer):
    """Keeps each point as a copy of the whole tree."""

    name = "strongroom"

    def backup(self, *, first: bool) -> Steps:
        return run("cp", "-a", self.tree.home(), f"{self.store}/{len(os.listdir(self.store)):03}")

    def points(self) -> list[str]:
        return sorted(os.listdir(self.store))

    def one_file(self, point: str, target: str) -> Steps:
        return run("cp", "-a", f"{self.store}/{point}/site1/shadow{KEEPSAKE}", target)

    def account(self, name: str, target: str) -> Steps:
        return run("cp", "-a", f"{self.store}/{self.points()[-1]}/{name}", target)

    def everything(self, target: str) -> Steps:
        return run("cp", "-a", f"{self.store}/{self.points()[-1]}", target)

    def check(self) -> Steps:
        return run("true")

    def help(self) -> Steps:
        return run("true")


class Careless(Copies):
    """Brings back yesterday's accounts, one file short, and cannot check."""

    name = "restic"

    def account(self, name: str, target: str) -> Steps:
        folder = f"{target}/{name}"
        return [*super().account(name, target), *run("rm", f"{folder}/shadow/etc/passwd")]

    def check(self) -> Steps:
        return run("false")


@pytest.fixture(scope="module")
def scale() -> Scale:
    return replace(MIXED, inodes=LEAST, accounts=1, rounds=1, days=1, points=6)


@pytest.fixture(scope="module")
def contest(scale: Scale, tmp_path_factory: pytest.TempPathFactory) -> Contest:
    folder = str(tmp_path_factory.mktemp("contest"))
    tree = Tree(root=f"{folder}/server", inodes=scale.inodes, accounts=scale.accounts)
    contest = Contest(
        Given(scale=scale, tree=tree, folder=folder, settled=0), [Copies(tree, folder), Careless(tree, folder)]
    )
    contest.run()
    return contest


def test_all_work_is_sampled_once_and_timed_in_rounds(contest: Contest) -> None:
    for work in Work:
        result = contest.results["strongroom", work]
        assert not result.failure
        assert result.sampled is not None
        assert len(result.timed) == (5 if work in {Work.HELP, Work.NEWEST, Work.OLDEST} else 1)


def test_peers_in_no_budget_for_a_piece_of_work_do_it_once(contest: Contest) -> None:
    assert len(contest.results["restic", Work.QUIET].timed) == 1
    assert contest.results["restic", Work.HELP].timed == ()


def test_there_are_as_many_points_as_asked_for(contest: Contest) -> None:
    assert contest.stored["strongroom"].points == 6
    assert contest.stored["strongroom"].last > contest.stored["strongroom"].first > 0


def test_what_came_back_short_has_failed(contest: Contest) -> None:
    assert "files were restored, and there were" in contest.results["restic", Work.ACCOUNT].failure
    assert contest.results["restic", Work.ACCOUNT].sampled is None
    assert "exit status 1" in contest.results["restic", Work.CHECK].failure


def test_the_configuration_names_the_made_up_server_and_a_secret_beside_the_vault(tmp_path: Path) -> None:
    text = configuration(Tree(root="/made/up", inodes=1), f"{tmp_path}/store", f"{tmp_path}/beside")
    assert 'layout = "apiscp"\nroot = "/made/up"\n' in text
    assert f'passphrase_file = "{tmp_path}/passphrase"' in text
