"""Versions as numbers, and in which order an app climbs those that are offered."""

from __future__ import annotations

import re
from collections.abc import Iterable

from strongroom.webapps.base import Lock

Number = tuple[int, ...]

_NUMBERS = re.compile(r"\d+")
_LEADING = re.compile(r"[^\d]{0,10}(\d+(?:[.-]\d+)*)(.*)", re.DOTALL)
_BEFORE_RELEASE = ("dev", "alpha", "beta", "rc")


def number(version: str) -> Number:
    """A version to compare with others: major, minor, patch and what follows; those before a release come before it."""
    found = _LEADING.match(version)
    if found is None:
        return (0, 0, 0, 0)
    digits = [int(part[:9]) for part in _NUMBERS.findall(found[1])][:6]
    rest = found[2].lower()
    early = next((rank for rank, word in enumerate(_BEFORE_RELEASE) if word in rest), len(_BEFORE_RELEASE))
    last = [int(part[:9]) for part in _NUMBERS.findall(rest)[:1]] if early < len(_BEFORE_RELEASE) else []
    return (*digits, *[0] * (6 - len(digits)), early, *last)


def allowed(current: str, offered: str, lock: Lock) -> bool:
    """Whether a lock lets an app go from one version to another."""
    here, there = number(current), number(offered)
    held = {Lock.NONE: 0, Lock.MAJOR: 1, Lock.MINOR: 2}[lock]
    return here[:held] == there[:held]


def climb(current: str, offered: Iterable[str], lock: Lock) -> list[str]:
    """The versions to go to, one after the other: the highest patch, then the next minor at its highest patch, then the
    next major at the highest patch of its lowest minor, and so on. Older ones and those beyond the lock are left out.
    """
    newer = {each for each in offered if number(each) > number(current) and allowed(current, each, lock)}
    steps: list[str] = []
    here = number(current)
    while newer:
        for held in (2, 1, 0):
            near = [each for each in newer if number(each)[:held] == here[:held]]
            if near:
                break
        lowest = min(number(each)[:2] for each in near)
        step = max((each for each in near if number(each)[:2] == lowest), key=number)
        steps.append(step)
        here = number(step)
        newer = {each for each in newer if number(each) > here}
    return steps
