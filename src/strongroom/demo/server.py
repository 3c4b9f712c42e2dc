"""A small server of the ApisCP layout below a folder of its own: five accounts, and what belongs to no account."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from strongroom.demo import information, mail, oddities, wordpress
from strongroom.demo.ground import Ground
from strongroom.demo.information import Tenant
from strongroom.demo.pictures import png
from strongroom.model import Frozen

TENANTS = (
    Tenant(
        number=1,
        domain="shop.example",
        owner="shopkeeper",
        purpose="WordPress",
        addons=("outlet.example",),
        database=wordpress.DATABASE,
    ),
    Tenant(number=2, domain="bakery.example", owner="baker", purpose="static pages"),
    Tenant(
        number=3,
        domain="lawfirm.example",
        owner="senior",
        purpose="Maildirs",
        users=("junior", "clerk", "office", "archive"),
    ),
    Tenant(number=4, domain="museum.example", owner="curator", purpose="oddities"),
    Tenant(
        number=5, domain="gone.example", owner="debtor", purpose="suspended", suspended="Unpaid invoices. Please call."
    ),
)
FORBIDDEN = b"must-not-be-backed-up"


class Server(Frozen):
    """The server that was built: its root folder, its accounts, and what this machine could not hold."""

    root: bytes
    tenants: tuple[Tenant, ...]
    skipped: tuple[str, ...]

    def data(self, tenant: Tenant) -> bytes:
        """The folder of an account's data."""
        return self.home(tenant) + b"/shadow"

    def info(self, tenant: Tenant) -> bytes:
        """The folder of an account's metadata."""
        return self.home(tenant) + b"/info"

    def home(self, tenant: Tenant) -> bytes:
        """The folder of an account."""
        return self.root + b"/home/virtual/" + tenant.name.encode()


def build(root: bytes, packages: bytes, socket: Path) -> Server:
    """Build the server in an empty folder (made when absent); ``packages`` and ``socket`` as `wordpress.build`
    wants them.

    Raise SourceError when a tool is not there.
    """
    skipped: set[str] = set()
    _template(root)
    for tenant in TENANTS:
        skipped |= _account(root, tenant, packages, socket)
    _own(root)
    return Server(root=root, tenants=TENANTS, skipped=tuple(sorted(skipped)))


def _account(root: bytes, tenant: Tenant, packages: bytes, socket: Path) -> set[str]:
    home = root + b"/home/virtual/" + tenant.name.encode()
    data = Ground(home + b"/shadow", tenant.uid, tenant.uid, tenant.domain)
    _everyone(data, tenant)
    if tenant.number == 1:
        _shop(data, packages, socket)
    else:
        {2: _pages, 3: _mailboxes, 4: _museum, 5: _debtor}[tenant.number](data, tenant)
    info = Ground(home + b"/info", 0, 0, tenant.domain)
    information.write(info, tenant, wordpress.PREFERENCES if tenant.number == 1 else {"language": "en"})
    _mounted(home)
    for name in (tenant.domain, f"admin{tenant.number}"):
        os.symlink(tenant.name.encode() + b"/fst", root + b"/home/virtual/" + name.encode())
    return data.skipped


def _everyone(data: Ground, tenant: Tenant) -> None:
    """What every account has: users, homes, logs, a database's files that are no backup, a socket's folder."""
    names = (tenant.owner, *tenant.users)
    passwd = "".join(
        f"{name}:x:{tenant.uid + number}:{tenant.uid}:{name}:/home/{name}:/bin/bash\n"
        for number, name in enumerate(names)
    )
    data.file(b"etc/passwd", passwd.encode())
    data.file(b"etc/group", f"{tenant.owner}:x:{tenant.uid}:\n".encode())
    for number, name in enumerate(names):
        home = data.folder(b"home/" + name.encode(), mode=0o711)
        os.chown(data.at(home), tenant.uid + number, tenant.uid)
        data.file(home + b"/.bashrc", b"umask 022\nexport EDITOR=nano\n")
    data.file(b"home/" + tenant.owner.encode() + b"/.my.cnf", b"[client]\npassword=only-a-demo\n", mode=0o600)
    lines = (b"192.0.2.%d - - GET /page/%d 200\n" % (n % 250, data.random.randrange(9000)) for n in range(3000))
    data.file(b"var/log/httpd/access_log", b"".join(lines))
    for engine in (b"mysql", b"pgsql"):
        data.file(b"var/lib/" + engine + b"/" + FORBIDDEN, data.random.randbytes(200_000), mode=0o660)
    if tenant.database:
        table = b"var/lib/mysql/" + tenant.database.encode() + b"/wp_posts.ibd"
        data.file(table, data.random.randbytes(300_000), mode=0o660)


def _shop(data: Ground, packages: bytes, socket: Path) -> None:
    wordpress.build(data, packages, socket)
    oddities.whiteout(data, b"etc/motd")
    oddities.whiteout(data, b"usr/bin/telnet")
    oddities.opaque(data, b"var/www/cgi-bin")
    data.link(b"var/www/outlet", b"html")


def _pages(data: Ground, tenant: Tenant) -> None:
    for number in range(240):
        body = b"<p>Bread number %d, baked today.</p>\n" % number * data.random.randrange(5, 120)
        page = b"<!doctype html><title>Bread %d</title>\n%b" % (number, body)
        data.file(b"var/www/html/bread/%02d/%03d.html" % (number % 12, number), page)
    for number in range(30):
        data.file(b"var/www/html/images/%02d.png" % number, png(data.random, 120, 90))
    data.file(b"var/www/html/style.css", b"body { font-family: serif; }\n" * 60)


def _mailboxes(data: Ground, tenant: Tenant) -> None:
    mail.build(data, tenant.domain, (tenant.owner, *tenant.users))


def _museum(data: Ground, tenant: Tenant) -> None:
    oddities.build(data)


def _debtor(data: Ground, tenant: Tenant) -> None:
    for number in range(25):
        data.file(b"var/www/html/page-%02d.html" % number, b"<h1>Coming soon</h1>\n" * (number + 1))


def _mounted(home: bytes) -> None:
    """The composed mount: a second sight of shadow and template, and no place to back up."""
    mounted = Ground(home + b"/fst", 0, 0, "fst")
    mounted.file(b"etc/hosts", b"127.0.0.1 localhost\n")
    mounted.file(FORBIDDEN, b"this is only the mount\n")


def _template(root: bytes) -> None:
    template = Ground(root + b"/home/virtual/FILESYSTEMTEMPLATE", 0, 0, "template")
    for name in (b"etc/motd", b"etc/services", b"usr/bin/telnet", b"var/www/cgi-bin/test.cgi"):
        template.file(b"siteinfo/" + name, b"of the template: " + name + b"\n" * 50)
    template.file(b"ssh/usr/bin/ssh", template.random.randbytes(40_000), mode=0o755)
    template.file(b"siteinfo/" + FORBIDDEN, b"the template comes with the panel\n")


def _own(root: bytes) -> None:
    """What belongs to no account: the panel's settings and maps, the mail and grant tables, running servers' files."""
    own = Ground(root, 0, 0, "server")
    rows = b"".join(b"INSERT INTO siteinfo VALUES (%d, '%b');\n" % (t.number, t.domain.encode()) for t in TENANTS)
    grants = b"".join(b"INSERT INTO user (User) VALUES ('%b');\n" % t.owner.encode() for t in TENANTS)
    for path, content in ((b"var/log/mailer_table", rows), (b"var/lib/mysql/mysql-grants", grants)):
        own.file(path, content, mode=0o640)
        for day in (20251030, 20251031):
            own.file(b"%b-%d.gz" % (path, day), gzip.compress(content, mtime=0), mode=0o640)
    roles = b"".join(b"CREATE ROLE %b;\n" % tenant.owner.encode() for tenant in TENANTS)
    own.file(b"var/lib/pgsql/15/backups/globals.sql", roles, mode=0o600)
    own.file(b"var/lib/mysql/ibdata1", own.random.randbytes(500_000), mode=0o660)
    own.link(b"var/lib/mysql/shopkeeper_wp", own.at(b"home/virtual/site1/shadow/var/lib/mysql/shopkeeper_wp"))
    own.file(b"root/apnscp-vars.yml", b"---\napnscp_admin_email: root@server.example\n", mode=0o600)
    own.file(b"root/apnscp-vars-runtime.yml", b"---\nmanual_database_backups: false\n", mode=0o600)
    panel = b"usr/local/apnscp/config/"
    own.file(panel + b"custom/config.ini", b"[cron]\nstart_range=3-22\n", mode=0o600)
    own.file(panel + b"custom/boot.php", b"<?php\n")
    own.file(panel + b"custom/hooks/editDomain.sh", b"#!/bin/sh\nexit 0\n", mode=0o755)
    for name in (b"license.pem", b"db.yaml", b"auth.yaml"):
        own.file(panel + name, b"only-a-demo: %b\n" % name, mode=0o600)
    maps = b"".join(b"%b = %b\n" % (t.domain.encode(), t.name.encode()) for t in TENANTS)
    own.file(b"usr/local/apnscp/storage/opcenter/mappings/domainmap", maps)
    own.link(b"etc/virtualhosting/mappings", b"/usr/local/apnscp/storage/opcenter/mappings")
