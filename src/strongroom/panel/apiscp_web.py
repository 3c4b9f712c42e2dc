"""What ApisCP serves of an account: its own domain, addon domains by ``info/domain_map``, subdomains by links.

``shadow/var/subdomain/NAME/html`` is a link to a subdomain's document root, made by the panel or by the owner. It is read
as text and never followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from strongroom.model import DocumentRoot
from strongroom.panel.base import shown
from strongroom.panel.folder import Folder

_HOME = b"/var/www"
_OWN = _HOME + b"/html"
_MOST_MAP = 1 << 20
# What is looked at in one folder before it stops: a listing may not cost without bound.
_MOST = 1000
_MAPPED = re.compile(rb"^([A-Za-z0-9._*-]+)[ \t]+(/\S.*)$", re.MULTILINE)
# The panel writes paths in its composed mount, of whatever server the account came from.
_MOUNT = re.compile(rb"^/home/virtual/[^/]+/(?:fst|shadow)(?=/|$)")


def document_roots(site: Folder, domains: tuple[str, ...]) -> tuple[DocumentRoot, ...]:
    """All of a site, each path once: those with a host, then every other folder beside the main one."""
    hosts: dict[bytes, list[str]] = {}
    mapped = dict(_mapped(site))
    for domain in domains:
        hosts.setdefault(mapped.pop(domain, _OWN), []).append(domain)
    for domain, path in mapped.items():
        hosts.setdefault(path, []).append(domain)
    for name, path in _subdomains(site):
        whole = any(name == domain or name.endswith("." + domain) for domain in domains)
        hosts.setdefault(path, []).append(name if whole or not domains else f"{name}.{domains[0]}")
    for path in _beside(site):
        hosts.setdefault(path, [])
    return tuple(DocumentRoot(path=path, hosts=tuple(served)) for path, served in hosts.items())


def _mapped(site: Folder) -> Iterator[tuple[str, bytes]]:
    content = site.read(b"info", b"domain_map", limit=_MOST_MAP) or b""
    for domain, path in _MAPPED.findall(content):
        yield shown(domain).lower(), _normal(b"/", _MOUNT.sub(b"", path.strip()))


def _subdomains(site: Folder) -> Iterator[tuple[str, bytes]]:
    folder = site.folder(b"shadow", b"var", b"subdomain")
    if folder is None:
        return
    with folder:
        for name in sorted(folder.listed(most=_MOST)):
            target = folder.link(name, b"html")
            here = b"/var/subdomain/" + name
            if target is not None:
                yield shown(name).lower(), _normal(here, _MOUNT.sub(b"", target))
            elif folder.holds_folder(name, b"html"):
                yield shown(name).lower(), here + b"/html"


def _beside(site: Folder) -> Iterator[bytes]:
    www = site.folder(*(b"shadow" + _HOME).split(b"/"))
    if www is None:
        return
    with www:
        for name, is_folder in sorted(www.listed(most=_MOST).items()):
            if is_folder and name != b"cgi-bin":
                yield _HOME + b"/" + name


def _normal(folder: bytes, path: bytes) -> bytes:
    """A path as the owner sees it, without dots; what leads above the account's root stays at it."""
    parts: list[bytes] = []
    for part in (path if path.startswith(b"/") else folder + b"/" + path).split(b"/"):
        if part == b"..":
            parts[-1:] = []
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/" + b"/".join(parts)
