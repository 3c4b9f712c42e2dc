"""An account's ``info`` folder as the panel keeps it: one INI file a service, markers, preferences, address book."""

from __future__ import annotations

from strongroom.demo.ground import Ground
from strongroom.model import Frozen

Settings = dict[str, dict[str, object]]


class Tenant(Frozen):
    """One account of the demo's server; ``suspended`` is the reason, or empty."""

    number: int
    domain: str
    owner: str
    purpose: str
    addons: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    database: str = ""
    suspended: str = ""

    @property
    def name(self) -> str:
        """The account's name, ``siteN``."""
        return f"site{self.number}"

    @property
    def uid(self) -> int:
        """The owner's numeric id, and the account's group; its further users follow it."""
        return 1000 + 10 * self.number


def write(ground: Ground, tenant: Tenant, preferences: dict[str, object]) -> None:
    """Fill an ``info`` folder; ``preferences`` are the owner's, with the web apps the panel knows."""
    for service, values in settings(tenant).items():
        for generation in (b"current", b"old"):
            ground.file(generation + b"/" + service.encode(), _ini(values), mode=0o600)
    ground.folder(b"new")
    for service in ("siteinfo", "ssh"):
        ground.file(b"services/" + service.encode(), b"")
    for user in (tenant.owner, *tenant.users):
        ground.file(b"users/" + user.encode(), php(preferences if user == tenant.owner else {"language": "en"}), 0o600)
    rows = [
        {"user": user, "domain": tenant.domain, "type": "v", "fs_destination": f"/home/{user}/Mail", "enabled": 1}
        for user in (tenant.owner, *tenant.users)
    ]
    ground.file(b"email_addr", php(dict(enumerate(rows))), mode=0o600)
    ground.file(b"php-policy.yml", b"---\nallow-fallback: true\nphp_value:\n  memory_limit: 192M\n")
    # What the kernel keeps here for the account's overlay mount: never part of a backup.
    ground.folder(b"work/work", mode=0o000)
    ground.file(b"work/must-not-be-backed-up", b"scratch space of the overlay mount\n")
    if tenant.suspended:
        ground.file(b"disabled", f"# Bill 2041, second reminder\n{tenant.suspended}\n".encode())


def settings(tenant: Tenant) -> Settings:
    """The account's service settings, by service and key."""
    return {
        "siteinfo": {
            "version": "3.0",
            "enabled": not tenant.suspended,
            "domain": tenant.domain,
            "admin_user": tenant.owner,
            "email": f"{tenant.owner}@{tenant.domain}",
            "admin": f"admin{tenant.number}",
            "plan": "basic",
        },
        "aliases": {"version": "3.0", "enabled": True, "aliases": list(tenant.addons), "max": None},
        "mysql": {
            "version": "3.0",
            "enabled": bool(tenant.database),
            "dbaseadmin": tenant.owner,
            "dbaseprefix": f"{tenant.owner}_",
            "dbasenum": None,
        },
        "pgsql": {"version": "3.0", "enabled": False, "dbaseadmin": tenant.owner, "dbaseprefix": f"{tenant.owner}_"},
        "apache": {
            "version": "3.0",
            "enabled": True,
            "jail": True,
            "webserver": f"www.{tenant.domain}",
            "webuser": "apache",
        },
        "users": {"version": "3.0", "enabled": True, "max": None},
        "diskquota": {"version": "3.0", "enabled": True, "quota": "10240", "units": "MB"},
        "bandwidth": {"version": "3.0", "enabled": True, "threshold": "107374182400", "rollover": "17"},
        "auth": {"version": "3.0", "cpasswd": "$6$rounds=5000$demo$notapassword"},
        "mail": {"version": "3.0", "enabled": True, "provider": "builtin"},
        "dns": {"version": "3.0", "enabled": True, "provider": "powerdns", "key": None},
        "ssh": {"version": "3.0", "enabled": True, "port_index": []},
        "billing": {
            "version": "3.0",
            "enabled": True,
            "invoice": f"INV-{7000 + tenant.number}",
            "parent_invoice": None,
        },
        "ipinfo": {"version": "3.0", "enabled": True, "namebased": True, "nbaddrs": ["192.0.2.17"]},
    }


def _ini(values: dict[str, object]) -> bytes:
    return ("[DEFAULT]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in values.items())).encode()


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list):
        return "[" + ",".join(f"'{item}'" for item in value) + "]"
    if value is None:
        return "None"
    return str(value)


def php(value: object) -> bytes:
    """A value as PHP's ``serialize`` writes it: booleans, integers, text and maps."""
    if isinstance(value, bool):
        return b"b:%d;" % value
    if isinstance(value, int):
        return b"i:%d;" % value
    if isinstance(value, dict):
        return b"a:%d:{%b}" % (len(value), b"".join(php(key) + php(item) for key, item in value.items()))
    text = str(value).encode()
    return b's:%d:"%b";' % (len(text), text)
