"""Mailboxes as Dovecot keeps them: Maildirs with proper names, flags, folders and index files."""

from __future__ import annotations

import base64

from strongroom.demo.ground import NEWEST, OLDEST, Ground

_WORDS = (
    b"please find attached the contract draft invoice hearing court date client meeting monday regards yours".split()
)
_FOLDERS = ((b"", 420), (b".Sent/", 160), (b".Archive/", 60), (b".Trash/", 20))
_FLAGS = (b"", b"S", b"RS", b"FS", b"S", b"ST")


def build(ground: Ground, domain: str, users: tuple[str, ...]) -> int:
    """Give every user a mailbox of some hundred messages; the number of messages in all."""
    return sum(_mailbox(ground, domain.encode(), user.encode()) for user in users)


def _mailbox(ground: Ground, domain: bytes, user: bytes) -> int:
    top = b"home/" + user + b"/Mail/"
    total = 0
    for folder, count in _FOLDERS:
        for part in (b"cur", b"new", b"tmp"):
            ground.folder(top + folder + part, mode=0o700)
        for number in range(count):
            _message(ground, top + folder, domain, user, number)
        ground.file(top + folder + b"dovecot.index", ground.random.randbytes(2048), mode=0o600)
        ground.file(top + folder + b"dovecot-uidlist", b"3 V1700000000 N%d\n" % (count + 1), mode=0o600)
        if folder:
            ground.file(top + folder + b"maildirfolder", b"", mode=0o600)
        total += count
    ground.file(top + b"subscriptions", b"Sent\nArchive\nTrash\n", mode=0o600)
    ground.file(top + b"maildirsize", b"1073741824S\n%d %d\n" % (total * 4096, total), mode=0o600)
    return total


def _message(ground: Ground, folder: bytes, domain: bytes, user: bytes, number: int) -> None:
    source = ground.random
    when = source.randrange(OLDEST, NEWEST)
    content = _text(ground, domain, user, number)
    unseen = number % 40 == 0
    unique = b"%d.M%dP%d.mail.%b,S=%d,W=%d" % (
        when,
        source.randrange(10**6),
        source.randrange(300, 32768),
        domain,
        len(content),
        len(content) + content.count(b"\n"),
    )
    name = b"new/" + unique if unseen else b"cur/" + unique + b":2," + source.choice(_FLAGS)
    ground.file(folder + name, content, mode=0o600)


def _text(ground: Ground, domain: bytes, user: bytes, number: int) -> bytes:
    source = ground.random
    words = b" ".join(source.choices(_WORDS, k=source.randrange(60, 500)))
    body = b"\n".join(words[start : start + 72] for start in range(0, len(words), 72))
    if number % 45 == 0:
        body += b"\n--part\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n" + _attachment(ground)
    return (
        b"Return-Path: <someone@client.example>\nDelivered-To: %b@%b\nMessage-ID: <%x@client.example>\n"
        b"From: Someone <someone@client.example>\nTo: %b@%b\nSubject: Matter %d\nMIME-Version: 1.0\n\n%b\n"
    ) % (user, domain, source.getrandbits(64), user, domain, number, body)


def _attachment(ground: Ground) -> bytes:
    return base64.encodebytes(ground.random.randbytes(ground.random.randrange(20_000, 160_000)))
