"""What the files of a made-up server hold: bytes that compress and repeat about as the real ones do.

Everything follows from a seed. Text is cut from one large body of PHP-like lines made once, so that a file costs a few
slices; the cuts are far smaller than any engine's chunks, so that files repeat one another in words, not in chunks.
Images are random bytes of their own, for two cuts of one random body would be found to overlap.
"""

from __future__ import annotations

from base64 import b64encode
from random import Random

BODY = 12 << 20
CUT = 1500
SYLLABLES = ["ad", "bas", "cor", "dex", "el", "for", "gen", "hook", "in", "key", "lo", "men", "nav", "op", "post"]
SYLLABLES += ["query", "ren", "set", "term", "user", "view", "wid", "xml", "yer", "zone", "meta"]
LINES = [
    "    public function %s_%s( $%s, $%s = null ) {\n",
    "\t\t$%s = get_%s( '%s', array( 'id' => $%s ) );\n",
    "\t\tif ( ! empty( $%s['%s'] ) && is_%s( $%s ) ) {\n",
    "\t\t\treturn apply_filters( '%s_%s', $%s, $%s );\n\t\t}\n",
    "\t * @param string $%s Optional. The %s of the %s to %s. Default empty.\n",
    "\t\tforeach ( (array) $this->%s as $%s => $%s ) { $%s++; }\n",
    "\t\techo '<div class=\"%s-%s %s\" id=\"' . esc_attr( $%s ) . '\">';\n",
    '\t\t$wpdb->query( "SELECT %s, %s FROM {$wpdb->%s} WHERE %s = 1" );\n',
    "\t}\n\n\t/**\n\t * %s the %s %s, then the %s.\n\t */\n",
    "\t\t'%s' => __( 'The %s %s', '%s' ),\n",
    "\t\tadd_action( '%s_%s', array( $this, '%s_%s' ), 10, 2 );\n",
]


class Matter:
    """A source of file contents, in a few flavours; one is made and shared by all who write files of one tree."""

    def __init__(self, seed: int, body: int = BODY) -> None:
        rng = Random(seed)
        self._source = memoryview(_source(rng, body))
        self._access = memoryview(_access(rng, body // 4))

    def text(self, rng: Random, size: int) -> bytes:
        """`size` bytes of source text."""
        return _cuts(self._source, rng, size)

    def php(self, rng: Random, size: int) -> bytes:
        """A source file of about `size` bytes."""
        return b"<?php\n/**\n * @package %08x\n */\n" % rng.getrandbits(32) + self.text(rng, size)

    def image(self, rng: Random, size: int) -> bytes:
        """`size` bytes that do not compress."""
        return rng.randbytes(size)

    def mail(self, rng: Random, size: int) -> bytes:
        """A message of about `size` bytes; a large one carries an attachment in base64."""
        head = b"Return-Path: <a%d@example.net>\r\nMessage-ID: <%032x@example.net>\r\nSubject: %d\r\n\r\n"
        head %= (rng.getrandbits(16), rng.getrandbits(128), rng.getrandbits(20))
        if size < 20_000:
            return head + self.text(rng, size)
        return head + self.text(rng, 2000) + b64encode(rng.randbytes(size * 3 // 4))

    def log(self, rng: Random, size: int) -> bytes:
        """`size` bytes of access log."""
        return _cuts(self._access, rng, size)


def _cuts(body: memoryview, rng: Random, size: int) -> bytes:
    last = len(body) - CUT
    cuts = []
    while size > 0:
        start = int(rng.random() * last)
        length = min(size, 200 + int(rng.random() * (CUT - 200)))
        cuts.append(body[start : start + length])
        size -= length
    return b"".join(cuts)


def _source(rng: Random, size: int) -> bytes:
    """PHP-like lines over a vocabulary whose words are as unevenly used as a program's."""
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(4000)]
    weights = [1 / rank for rank in range(1, 4001)]
    parts: list[str] = []
    made = 0
    while made < size:
        picked = rng.choices(words, weights, k=4 * 4096)
        forms = rng.choices(LINES, k=4096)
        block = "".join([forms[i] % tuple(picked[4 * i : 4 * i + 4]) for i in range(4096)])
        parts.append(block)
        made += len(block)
    return "".join(parts).encode()


def _access(rng: Random, size: int) -> bytes:
    """Lines of a web server's access log."""
    pages = ["/".join(rng.choices(SYLLABLES, k=3)) for _ in range(2000)]
    lines: list[str] = []
    made = 0
    while made < size:
        address, moment = rng.getrandbits(16), rng.randrange(86_400)
        clock = f"{moment // 3600:02}:{moment // 60 % 60:02}:{moment % 60:02}"
        when = f"192.0.{address >> 8}.{address & 255} - - [21/Nov/2026:{clock} +0000]"
        request = f'"GET /{rng.choice(pages)}?{rng.getrandbits(12)} HTTP/1.1" {rng.choice((200, 200, 200, 304, 404))}'
        lines.append(f'{when} {request} {moment} "-" "Mozilla/5.0"\n')
        made += len(lines[-1])
    return "".join(lines).encode()
