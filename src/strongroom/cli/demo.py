"""``demo``: the main job on a small real server, with the proof."""

from __future__ import annotations

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import command


@command()
@click.option("--folder", metavar="DIR", help="Where the demo lives (a folder of its own).")
@click.option("--plant-difference", is_flag=True, help="Change one byte and one row after the restore: the proof must find them.")
@click.pass_obj
def demo(invocation: Invocation, folder: str | None, plant_difference: bool) -> int:
    """Run the main job on a small real server, and show the proof."""
    from pathlib import Path

    from strongroom.demo import story

    return story.run(Path(folder) if folder else None, plant_difference, invocation.json)
