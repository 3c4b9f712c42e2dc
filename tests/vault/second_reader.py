"""A second reader of a vault, written from docs/vault-format.md alone; numbers in comments are that page's sections.

It uses nothing of Strongroom's, is in no hurry, and checks all that section 14 asks for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from backports import zstd
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ZERO_NONCE = bytes(12)
SNAPSHOT, INDEX, RECORD, TOMBSTONE, TRAILER = 1, 2, 3, 4, 5
DATA, TREE, PREFIXED = 0, 1, 2
FRAME = struct.Struct("<4sBB2sIQQIIII80s4s")
TYPES = ("file", "dir", "symlink", "fifo", "char", "block", "socket")


class RefusedError(Exception):
    """The vault is not what the document says."""


class Place(NamedTuple):
    pack: bytes
    offset: int
    size: int
    kind: int


class Item(NamedTuple):
    """One name of a snapshot, with all that the document says of it."""

    path: bytes
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: tuple[int, int]
    inode: int
    links: int
    target: bytes
    rdev: tuple[int, int] | None
    flags: int
    xattrs: dict[bytes, bytes]
    holes: bool
    defect: str
    content: bytes | None


def insist(truth: bool, what: str) -> None:
    if not truth:
        raise RefusedError(what)


def decrypt(key: bytes, nonce: bytes, sealed: bytes, aad: bytes, what: str) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag as error:
        raise RefusedError(f"{what} does not decrypt") from error


def keyed(key: bytes, *parts: bytes) -> bytes:
    return blake3(b"".join(parts), key=key).digest()


def u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def ids(references: bytes) -> list[bytes]:
    insist(len(references) % 20 == 0, "references are no whole ids")
    return [references[at : at + 20] for at in range(0, len(references), 20)]


class SecondReader:
    """One vault in a folder, opened with a passphrase."""

    def __init__(self, folder: Path, passphrase: bytes) -> None:
        self.folder = folder
        self._open(passphrase)
        self._data_keys: dict[bytes, bytes] = {}
        self._frames: dict[tuple[bytes, int], dict[bytes, tuple[bytes, bytes]]] = {}
        self.places: dict[bytes, Place] = {}
        self.load_index()

    # --- 1 and 2: objects and keys --------------------------------------------------------------------------------

    def get(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def names(self, prefix: str) -> list[str]:
        below = self.folder / prefix
        return sorted(str(path.relative_to(self.folder)) for path in below.rglob("*") if path.is_file())

    def _open(self, passphrase: bytes) -> None:
        raw = self.get("vault")
        header = msgspec.msgpack.decode(raw)
        insist(header["magic"] == "strongroom vault" and header["format"] == 1, "no vault of this format")
        insist(header["sealing"] == "x25519-hkdf-sha256-aes256gcm", "it needs more")
        features = {name for name in self.names("features") if name.startswith("features/read-")}
        insist(features <= {"features/read-prefixed"}, "it needs more")
        self.vault_id: bytes = header["id"]
        self.private = self._private(passphrase)
        self.public: bytes = X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()
        insist(self.public == header["public"], "the public key is another's")
        self.id_key, self.index_key, self.meta_key = (
            self.unseal(header["sealed"][name], name.encode() + self.vault_id) for name in ("id", "index", "meta")
        )
        insist(raw[-34:-32] == b"\xc4\x20" and raw[-32:] == header["mac"], "the mac is not the header's last field")
        mac = keyed(self.meta_key, b"strongroom header 1", raw[:-34], b"\xc4\x00")
        insist(mac == header["mac"], "the header was altered")

    def _private(self, passphrase: bytes) -> bytes:
        for name in self.names("keys"):
            slot = msgspec.msgpack.decode(self.get(name))
            if slot["version"] != 1 or slot["kdf"] != "argon2id":
                continue
            memory, iterations, lanes = slot["memory"], slot["iterations"], slot["lanes"]
            if not (8 * lanes <= memory <= 1 << 20 and 1 <= iterations <= 16 and 1 <= lanes <= 16):
                continue
            derived = Argon2id(
                salt=slot["salt"], length=32, iterations=iterations, lanes=lanes, memory_cost=memory
            ).derive(passphrase)
            aad = b"strongroom slot 1" + self.vault_id + slot["salt"]
            try:
                return decrypt(derived, ZERO_NONCE, slot["wrapped"], aad, name)
            except RefusedError:
                continue
        raise RefusedError("no slot opens")

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        insist(len(sealed) == 80, "a sealed key has 80 bytes")
        ephemeral = sealed[:32]
        private = X25519PrivateKey.from_private_bytes(self.private)
        shared = private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
        info = b"strongroom seal 1" + context
        derived = HKDF(hashes.SHA256(), 32, salt=ephemeral + self.public, info=info).derive(shared)
        return decrypt(derived, ZERO_NONCE, sealed[32:], context, "a sealed key")

    # --- 3: envelopes ---------------------------------------------------------------------------------------------

    def envelope(self, kind: int, name: str, sealed: bytes) -> bytes:
        insist(sealed[:8] == b"SRE1" + bytes((kind, 1, 0, 0)), f"{name} begins wrong")
        class_key = self.index_key if kind in (INDEX, TRAILER) else self.meta_key
        head = sealed[:32]
        key = keyed(class_key, b"strongroom envelope 1", head[4:])
        packed = decrypt(key, ZERO_NONCE, sealed[32:], self.vault_id + head + name.encode(), name)
        size = zstd.get_frame_info(packed).decompressed_size
        insist(size is not None and size <= 256 << 20, f"{name} is too large")
        return zstd.decompress(packed)

    # --- 8: the index ---------------------------------------------------------------------------------------------

    def load_index(self) -> None:
        for name in self.names("index"):
            for pack, kind, size, frames in msgspec.msgpack.decode(self.envelope(INDEX, name, self.get(name))):
                for offset, length, chunks in frames:
                    insist(offset + length <= size, f"{name} places a frame behind its pack's end")
                    self.places.update(dict.fromkeys(ids(chunks), Place(pack, offset, length, kind)))

    def index_from_packs(self) -> dict[bytes, Place]:
        """10: what an index would say, from the packs alone."""
        found: dict[bytes, Place] = {}
        for name in self.names("packs"):
            data, pack = self.get(name), bytes.fromhex(name.rsplit("/", 1)[1])
            magic, vault, own, kind, zeros = struct.unpack_from("<8s16s16sI20s", data)
            insist(magic == b"SRPACK1\n" and not any(zeros), f"{name} begins wrong")
            insist((vault, own) == (self.vault_id, pack), f"{name} is another's")
            places = self.trailer(name, data)
            for offset, length in places if places is not None else self.hop(data):
                head = FRAME.unpack_from(data, offset)
                insist(head[1] == kind, f"{name} has a frame of another kind")
                for id, _, _ in self.contents(pack, data[offset : offset + length]):
                    found[id] = Place(pack, offset, length, kind)
        return found

    def trailer(self, name: str, data: bytes) -> list[tuple[int, int]] | None:
        """4.1: the frames' places, or None when a pack was cut short."""
        length, magic = struct.unpack("<I8s", data[-12:])
        if magic != b"SRPEND1\n":
            return None
        return list(struct.iter_unpack("<II", self.envelope(TRAILER, name, data[-12 - length : -12])))

    @staticmethod
    def hop(data: bytes) -> Iterator[tuple[int, int]]:
        at = 64
        while data[at : at + 4] == b"SRF1" and at + 128 <= len(data):
            head = FRAME.unpack_from(data, at)
            length = 128 + head[7] + head[8] + head[9]
            if at + length > len(data):
                return
            yield at, length
            at += length

    # --- 4 and 5: frames, chunks and nodes ------------------------------------------------------------------------

    def contents(self, pack: bytes, data: bytes) -> list[tuple[bytes, int, int]]:
        head = FRAME.unpack_from(data)
        sealed = data[128 : 128 + head[7]]
        key = keyed(self.index_key, b"strongroom contents 1", head[11][:32])
        plain = self._part(key, pack, data, sealed, "contents")
        insist(len(plain) == 28 * head[4], "the contents have another number of chunks")
        return list(struct.iter_unpack("<20sII", plain))

    def _part(self, key: bytes, pack: bytes, data: bytes, sealed: bytes, what: str) -> bytes:
        nonce = data[20:28] + bytes(4)
        return decrypt(key, nonce, sealed, self.vault_id + pack + data[:128], f"the {what} of a frame")

    def frame(self, place: Place, steps: int = 0) -> dict[bytes, tuple[bytes, bytes]]:
        """The chunks of a frame with their references, each one's id computed anew."""
        if (place.pack, place.offset) in self._frames:
            return self._frames[place.pack, place.offset]
        text = place.pack.hex()
        data = self.get(f"packs/{text[:2]}/{text}")[place.offset : place.offset + place.size]
        magic, kind, codec, zeros, _, scope, _, first, second, third, raw_size, sealed, more = FRAME.unpack_from(data)
        insist(magic == b"SRF1" and kind == place.kind and not any(zeros + more), "a frame begins wrong")
        insist(len(data) == 128 + first + second + third and raw_size <= 512 << 20, "a frame's sizes are wrong")
        contents = self.contents(place.pack, data)
        references = b""
        if second:
            key = keyed(self.meta_key, b"strongroom references 1", sealed[:32])
            references = self._part(key, place.pack, data, data[128 + first : 128 + first + second], "references")
        body = self._part(self.data_key(sealed), place.pack, data, data[128 + first + second :], "body")
        insist(codec in (0, 1) if kind != PREFIXED else codec == 2, "a frame's codec is unknown")
        if codec == 2:
            body = self._against(references, scope, steps).decompress(body, raw_size)
        elif codec:
            body = zstd.ZstdDecompressor().decompress(body, raw_size)
        insist(len(body) == raw_size == sum(size for _, size, _ in contents), "a frame does not add up")
        insist(len(references) == 20 * sum(number for _, _, number in contents), "references do not add up")
        label = b"node" if kind == TREE else b"chunk"
        id_key = keyed(self.id_key, b"strongroom derive 1", label, scope.to_bytes(8, "little"))
        chunks = {}
        for id, size, number in contents:
            chunk, body = body[:size], body[size:]
            own, references = references[: 20 * number], references[20 * number :]
            hashed = u32(number) + own + chunk if kind == TREE else chunk
            insist(keyed(id_key, hashed)[:20] == id, f"chunk {id.hex()} is another")
            chunks[id] = (chunk, own)
        self._frames[place.pack, place.offset] = chunks
        return chunks

    def _against(self, references: bytes, scope: int, steps: int) -> zstd.ZstdDecompressor:
        """4.3: what decompresses a body against the chunks that its frame rests on."""
        insist(steps < 4 and bool(references), "a frame rests on nothing, or on itself")
        prefix = b""
        for id in ids(references):
            text = self.places[id].pack.hex()
            head = FRAME.unpack_from(self.get(f"packs/{text[:2]}/{text}"), self.places[id].offset)
            insist(head[1] in (DATA, PREFIXED) and head[5] == scope, "a frame rests on what is none of its own")
            prefix += self.frame(self.places[id], steps + 1)[id][0]
        options = {int(zstd.DecompressionParameter.window_log_max): 24}
        return zstd.ZstdDecompressor(zstd_dict=zstd.ZstdDict(prefix, is_raw=True).as_prefix, options=options)

    def forget_frames(self) -> None:
        """Read frames anew from now on."""
        self._frames.clear()

    def data_key(self, sealed: bytes) -> bytes:
        if sealed not in self._data_keys:
            self._data_keys[sealed] = self.unseal(sealed, b"data" + self.vault_id)
        return self._data_keys[sealed]

    def chunk(self, id: bytes) -> bytes:
        insist(self.places[id].kind in (DATA, PREFIXED), "a node where a chunk belongs")
        return self.frame(self.places[id])[id][0]

    def node(self, id: bytes) -> tuple[Any, bytes]:
        insist(self.places[id].kind == TREE, "a chunk where a node belongs")
        body, references = self.frame(self.places[id])[id]
        return msgspec.msgpack.decode(body), references

    # --- 7 and 9: snapshots ---------------------------------------------------------------------------------------

    def snapshots(self) -> dict[str, dict[str, Any]]:
        """The snapshots that are not forgotten."""
        forgotten: set[str] = set()
        for name in self.names("tombstones"):
            forgotten.update(msgspec.msgpack.decode(self.envelope(TOMBSTONE, name, self.get(name)))["snapshots"])
        found = {}
        for name in self.names("snapshots"):
            snapshot = msgspec.msgpack.decode(self.envelope(SNAPSHOT, name, self.get(name)))
            insist(name == "snapshots/" + snapshot["id"] and snapshot["version"] == 1, f"{name} is another's")
            found[snapshot["id"]] = snapshot
        return {id: snapshot for id, snapshot in found.items() if id not in forgotten}

    def folders(self, snapshot: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
        """The directory map: paths, and their records' ids."""
        last = b""
        for first, id in snapshot["segments"]:
            paths, references = self.node(id)
            insist(paths[0] == first and len(paths) == len(ids(references)), "a segment does not add up")
            for path, record in zip(paths, ids(references), strict=True):
                insist(path.replace(b"/", b"\0") > last, "the directory map is not sorted")
                last = path.replace(b"/", b"\0")
                yield path, record

    # --- 6: records and files -------------------------------------------------------------------------------------

    def items(self, snapshot: dict[str, Any]) -> Iterator[Item]:
        """Everything that a snapshot holds, with content."""
        for path, id in self.folders(snapshot):
            body, references = self.node(id)
            insist(body[0] == 1, "a record of another version")
            own, names, types = body[1], body[2], body[3]
            columns = [*body[4:15]]
            insist(all(len(column) == len(names) == len(types) for column in columns), "columns are not equally long")
            rest = ids(references)
            entries = []
            for at, (name, type, *values) in enumerate(zip(names, types, *columns, strict=True)):
                insist(0 < len(name) <= 255 and not {0, 47} & set(name) and name not in (b".", b".."), "a bad name")
                mine, rest = rest[: values[-1]], rest[values[-1] :]
                if TYPES[type] != "dir":
                    entries.append(self._item(path + b"/" + name, TYPES[type], values, body[15].get(at, {}), mine))
            insist(list(names) == sorted(names), "names are not sorted")
            xattrs, rest = self._xattrs(own[9], rest)
            insist(not rest, "references are left over")
            yield Item(
                path, "dir", own[0], own[1], own[2], 0, (own[3], own[4]), own[7], 1, b"", None, own[9].get("flags", 0),
                xattrs, False, "", None,
            )  # fmt: skip
            yield from entries

    def _item(self, path: bytes, type: str, values: list[int], extra: dict[str, Any], mine: list[bytes]) -> Item:
        mode, uid, gid, size, mtime_s, mtime_ns, _, _, inode, links, _ = values
        xattrs, mine = self._xattrs(extra, mine)
        defect = extra.get("defect", "")
        whole = type == "file" and defect not in ("unread", "foreign")
        rdev = extra.get("rdev")
        return Item(
            path, type, mode, uid, gid, size, (mtime_s, mtime_ns), inode, links, extra.get("target", b""),
            tuple(rdev) if rdev else None, extra.get("flags", 0), xattrs, extra.get("extents") is not None, defect,
            self._content(size, extra, mine) if whole else None,
        )  # fmt: skip

    def _xattrs(self, extra: dict[str, Any], mine: list[bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
        """The attributes, and the references without those of large values."""
        pairs = extra.get("xattrs", ())
        large = sum(isinstance(value, int) for _, value in pairs)
        mine, last = mine[: len(mine) - large], mine[len(mine) - large :]
        return {name: self.chunk(last[value]) if isinstance(value, int) else value for name, value in pairs}, mine

    def _content(self, size: int, extra: dict[str, Any], mine: list[bytes]) -> bytes:
        extents = extra.get("extents")
        if extents is None:
            extents = [(0, size)]
        data = sum(length for _, length in extents)
        depth = extra.get("depth", 0)
        insist(depth <= 3, "lists too deep")
        lengths = list(extra.get("lengths", ())) or ([data] if data and not depth else [])
        for level in range(depth):
            below: list[bytes] = []
            lengths = []
            for id in mine:
                (sizes,), references = self.node(id)
                insist(len(sizes) == len(ids(references)) <= 4096, "a list node does not add up")
                below += ids(references)
                lengths += sizes
            mine = below
            insist(sum(lengths) == data, f"level {level} of lists does not add up")
        insist(len(mine) == len(lengths), "chunks and lengths do not fit")
        chunks = iter([self.chunk(id) for id in mine])
        content = bytearray(size)
        for offset, length in extents:
            while length:
                chunk = next(chunks)
                insist(len(chunk) <= length, "a chunk spans two extents")
                content[offset : offset + len(chunk)] = chunk
                offset, length = offset + len(chunk), length - len(chunk)
        insist(next(chunks, None) is None and len(content) == size, "chunks are left over")
        return bytes(content)
