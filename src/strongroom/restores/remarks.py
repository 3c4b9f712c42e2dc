"""Collects the warnings of one restore or download, and whether they make it incomplete."""

from __future__ import annotations

from strongroom.counting import counted
from strongroom.model import Remark, Status

_MOST = 10_000


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
