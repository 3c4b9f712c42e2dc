"""Collects the warnings of one restore or download, and whether they make it incomplete."""

from __future__ import annotations

from strongroom.counting import counted
from strongroom.model import Frozen, Remark, Status

_MOST = 10_000


class Said(Frozen):
    """All that was said in another process: warnings, how many more, what was said often, and whether anything is missing."""

    warnings: tuple[Remark, ...]
    beyond: int
    repeated: dict[str, int]
    incomplete: bool


class Remarks:
    """Warnings in the order they came, the first 10,000 of them; what happens thousands of times is said once."""

    def __init__(self) -> None:
        self._list: list[Remark] = []
        self._beyond = 0
        self._repeated: dict[str, int] = {}
        self.incomplete = False

    def warn(self, path: bytes, message: str, *, missing: bool = True) -> None:
        """Say something about a stored path; ``missing`` when something did not come back as the point has it."""
        self.incomplete = self.incomplete or missing
        if len(self._list) < _MOST:
            self._list.append(Remark(path=path, message=message))
        else:
            self._beyond += 1

    def warn_once(self, message: str) -> None:
        """Say something that holds for many paths; it is printed once, with their number."""
        self.incomplete = True
        self._repeated[message] = self._repeated.get(message, 0) + 1

    def forget(self) -> None:
        """Begin anew: what was said so far is another process's to tell."""
        self._list, self._beyond, self._repeated, self.incomplete = [], 0, {}, False

    def said(self) -> Said:
        """What was said since."""
        return Said(
            warnings=tuple(self._list), beyond=self._beyond, repeated=self._repeated, incomplete=self.incomplete
        )

    def add(self, said: Said) -> None:
        """Take over what another process said."""
        room = max(0, _MOST - len(self._list))
        self._list += said.warnings[:room]
        self._beyond += said.beyond + len(said.warnings[room:])
        for message, count in said.repeated.items():
            self._repeated[message] = self._repeated.get(message, 0) + count
        self.incomplete = self.incomplete or said.incomplete

    @property
    def status(self) -> Status:
        """Complete, or incomplete when anything is missing."""
        return Status.INCOMPLETE if self.incomplete else Status.COMPLETE

    def all(self) -> tuple[Remark, ...]:
        """Every warning, what was said once first."""
        said = [
            Remark(path=b"", message=f"{text} ({counted(count, 'time')})") for text, count in self._repeated.items()
        ]
        more = [Remark(path=b"", message=f"not shown: {counted(self._beyond, 'more warning')}")] if self._beyond else []
        return (*said, *self._list, *more)
