"""Stand-ins for programs that cannot be installed here, as real executables below a test's own root."""

from __future__ import annotations

from pathlib import Path

# A panel's cpcmd with one scope, in shell: it keeps the value beside itself and writes down how it was called.
_CPCMD = """#!/bin/sh
here={folder}
echo "$* | $(env | cut -d= -f1 | grep -v -e PWD -e SHLVL -e '^_$' | sort | tr '\\n' ' ')" >> "$here/calls"
[ "$1 $2" = "-o json" ] || exit 3
case "$3 $4" in
"scope:list ") echo '["apache.evasive","{name}"]' ;;
"scope:get {name}") cat "$here/value" ;;
"scope:set {name}") echo "$5" > "$here/value"; echo true ;;
*) echo "unknown scope $4" >&2; exit 1 ;;
esac
"""


class PanelProgram:
    """The panel's ``cpcmd``, with one scope."""

    def __init__(self, root: Path, name: str, value: str, where: str = "usr/local/apnscp/bin/cpcmd") -> None:
        self.path = root / where
        self.path.parent.mkdir(parents=True)
        folder = root / "panel"
        folder.mkdir()
        self._value, self._calls = folder / "value", folder / "calls"
        self._value.write_text(value)
        self.path.write_text(_CPCMD.format(folder=folder, name=name))
        self.path.chmod(0o755)

    @property
    def value(self) -> str:
        return self._value.read_text().strip()

    @property
    def calls(self) -> list[str]:
        """The arguments of every call so far."""
        return [line.partition(" | ")[0] for line in self._lines]

    @property
    def environments(self) -> set[str]:
        """The names of the variables that it was given."""
        return {line.partition(" | ")[2].strip() for line in self._lines}

    @property
    def _lines(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []
