"""How a whole file becomes a damaged or hostile one: a function of bytes and of a generator of random numbers."""

import gzip
import json
import re
import struct
import zlib

import numpy as np

HUGE = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
NUMBERS = [b"-1", b"0", b"1e999", b"-1e999", b"NaN", b"Infinity", b"0x7fffffffffffffff", b"1_000", *(b"9" * 5000,)]
NUMBERS += [str(number).encode() for number in HUGE]
RUNS = "__import__('os').mkdir('canary')"  # `canary` is a name in the folder that a reader works in
TOKENS = [
    b"\0",
    b"\0" * 64,
    b"\xff",
    b"\xff\xfe",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n\n",
    b"\t",
    b'"',
    b"'",
    b"\\",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"- ",
    b"null",
    b"true",
    b'""',
    b"{}",
    b"[]",
    b"../../../etc/passwd",
    b"/etc/passwd",
    b"http://127.0.0.1:1/x",
    b"%s%s%n",
    b"{0.__class__}",
    b"{}",
    b"__proto__",
    b"__class__",
    b"__reduce__",
    b"<<: *a",
    b"&a [*a]",
    b"!!python/object/apply:os.mkdir [canary]",
    b"!!python/name:os.mkdir ",
    b"!!binary ////",
    b"!!timestamp 9999-99-99",
    b"2001-99-99",
    b"!!int ",
    b"!!float x",
    b"? [",
    b"? {a: b}\n: c\n",
    b"---\n",
    b"...\n",
    b"%YAML 9.9\n",
    RUNS.encode(),
    b"cos\nmkdir\n(S'canary'\ntR.",
    b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c\x06canary\x85R.",
    b"|O",
    b"|V0",
    b"<U999999999",
    b"[[",
    b"((",
    b"dtype",
    b"shape",
    b"data_offsets",
    b"F32",
    b"IHDR",
    b"IDAT",
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"%!PS-Adobe-3.0 EPSF-3.0\n(canary) (w) file\n",
]
VALUES = [
    b"null",
    b"true",
    b'""',
    b'"x"',
    b"0",
    b"-1",
    b"1.5",
    b"1e999",
    b"NaN",
    b"[]",
    b"{}",
    b"[[1]]",
    b'{"a": [1]}',
    b'["a", 1]',
    b"[null]",
    b'"\\ud800"',
    b'"\\u0000"',
    b"9" * 30,
    b"9" * 5000,
    b"2001-99-99",
    b'"../x"',
]
_OPENING = (
    (b"[", b"]"),
    (b"{", b"}"),
    (b'{"a":', b"}"),
    (b'[{"a":', b"}]"),
    (b"(", b")"),
    (b"- ", b""),
    (b"&a [", b"]"),
    (b"a: [", b"]"),
    (b'"', b'"'),
    (b"\x80\x04", b"."),
    (b"(l", b"."),
)


def mutate(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Does one thing to a file, at times some more.

    Args:
        content: a whole file.
        other: another whole file of that kind, to splice with.
        rng: of this one file.
    """
    for _ in range(int(rng.geometric(0.6))):
        content = _WAYS[int(rng.integers(len(_WAYS)))](content, other, rng)
    return content


def _place(content: bytes, rng: np.random.Generator) -> int:
    """A place, in every second case near the beginning, where headers are."""
    return int(rng.integers(len(content) + 1)) if rng.random() < 0.5 else int(rng.integers(min(len(content), 96) + 1))


def _flip(content, other, rng):
    array = np.frombuffer(content, np.uint8).copy()
    for _ in range(int(rng.integers(1, 9))) if len(array) else ():
        array[min(_place(content, rng), len(array) - 1)] ^= np.uint8(1 << int(rng.integers(8)))
    return array.tobytes()


def _truncate(content, other, rng):
    return content[: _place(content, rng)]


def _cut_out(content, other, rng):
    first, length = _place(content, rng), int(rng.integers(1, 65))
    return content[:first] + content[first + length :]


def _repeat(content, other, rng):
    first, length, times = _place(content, rng), int(rng.integers(1, 257)), int(rng.integers(2, 9))
    return content[:first] + content[first : first + length] * times + content[first + length :]


def _splice(content, other, rng):
    return content[: _place(content, rng)] + other[_place(other, rng) :]


def _insert(content, other, rng):
    first, token = _place(content, rng), TOKENS[int(rng.integers(len(TOKENS)))]
    return content[:first] + token + content[first + (len(token) if rng.random() < 0.5 else 0) :]


def _length(content, other, rng):
    """A length, count or offset, as binary headers have them, that is none."""
    size = int(rng.choice([1, 2, 4, 8]))
    number = int(HUGE[int(rng.integers(len(HUGE)))]) % 2 ** (8 * size)
    first, order = _place(content, rng), "little" if rng.random() < 0.5 else "big"
    return content[:first] + number.to_bytes(size, order) + content[first + size :]


def _number(content, other, rng):
    """A number in digits becomes another, or far too long."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", content))
    if not found:
        return _insert(content, other, rng)
    match = found[int(rng.integers(len(found)))]
    return content[: match.start()] + NUMBERS[int(rng.integers(len(NUMBERS)))] + content[match.end() :]


def _value(content, other, rng):
    """A value of a text becomes one of another kind, and the text stays whole."""
    found = list(re.finditer(rb'"[^"]*"|(?<![\w.])-?\d+(?:\.\d+)?|true|false|null|\[[^\[\]]*\]|\{[^{}]*\}', content))
    if not found:
        return _insert(content, other, rng)
    match = found[int(rng.integers(len(found)))]
    return content[: match.start()] + VALUES[int(rng.integers(len(VALUES)))] + content[match.end() :]


def _nest(content, other, rng):
    first, depth = _place(content, rng) if rng.random() < 0.5 else 0, int(rng.choice([50, 1000, 20_000]))
    opening, closing = _OPENING[int(rng.integers(len(_OPENING)))]
    closing = closing * depth if rng.random() < 0.5 else b""
    rest = b"" if rng.random() < 0.3 else content[first:]
    return content[:first] + opening * depth + closing + rest


_WAYS = (
    _flip,
    _flip,
    _truncate,
    _cut_out,
    _repeat,
    _splice,
    _insert,
    _insert,
    _length,
    _length,
    _number,
    _value,
    _value,
    _nest,
)


def repaired(kind: str, content: bytes) -> bytes:
    """Makes sums and lengths right again, so that what stands behind them is read, too.

    Args:
        kind: "png", "gz" (which packs), "safetensors"; others have no sums.
        content: what `mutate` made; of "gz" the text.
    """
    if kind == "gz":
        return gzip.compress(content, 1)
    if kind == "safetensors":
        header = content[8:]
        signs = np.frombuffer(header, np.uint8)
        closed = np.flatnonzero(np.cumsum((signs == ord("{")).astype(int) - (signs == ord("}"))) == 0)
        return struct.pack("<Q", int(closed[0]) + 1 if len(closed) else len(header)) + header
    if kind == "png":
        made, place = content[:8], 8
        while place + 8 <= len(content):
            (length,) = struct.unpack(">I", content[place : place + 4])
            body = content[place + 4 : place + 8 + length]
            made += content[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
            place += 12 + length
        return made
    return content


def json_of(content: object) -> bytes:
    """A whole file of JSON."""
    return json.dumps(content).encode()
