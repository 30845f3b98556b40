"""Content codings for tests: gzip by the standard library, zstd by libzstd itself.

encode(coding, body)    a whole body; "identity" leaves it as it is
decode(coding, bytes)   the content; Broken for all that is not whole, right and alone
Decoder(coding)         the same piece by piece: feed() gives what can be had by then
text(size, seed)        words, which get about three times smaller; noise(size, seed): never

Nothing here decodes br: a body of that coding is any bytes, told by teach().
"""

import ctypes
import gzip
import random
import zlib

ROOM = 1 << 17
taught = {}


class Broken(Exception):
    """Bytes that are not what their coding says."""


class Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer alike."""

    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]


def load():
    zstd = ctypes.CDLL("libzstd.so.1")
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    for name, result, arguments in (
            ("ZSTD_isError", ctypes.c_uint, [size]),
            ("ZSTD_compressBound", size, [size]),
            ("ZSTD_compress", size, [pointer, size, ctypes.c_char_p, size, ctypes.c_int]),
            ("ZSTD_createDStream", pointer, []),
            ("ZSTD_freeDStream", size, [pointer]),
            ("ZSTD_decompressStream", size, [pointer, ctypes.POINTER(Buffer),
                                             ctypes.POINTER(Buffer)])):
        function = getattr(zstd, name)
        function.restype, function.argtypes = result, arguments
    return zstd


zstd = load()


def zstd_encode(body, level=3):
    room = zstd.ZSTD_compressBound(len(body))
    out = ctypes.create_string_buffer(room)
    size = zstd.ZSTD_compress(out, room, body, len(body), level)
    assert not zstd.ZSTD_isError(size)
    return out.raw[:size]


class ZstdDecoder:
    def __init__(self):
        self.stream = zstd.ZSTD_createDStream()
        self.out = ctypes.create_string_buffer(ROOM)
        self.whole = False

    def __del__(self):
        zstd.ZSTD_freeDStream(self.stream)

    def feed(self, piece):
        if not piece:
            return b""
        held = ctypes.create_string_buffer(piece, len(piece))
        given = Buffer(ctypes.cast(held, ctypes.c_void_p), len(piece), 0)
        got = []
        while True:
            out = Buffer(ctypes.cast(self.out, ctypes.c_void_p), ROOM, 0)
            hint = zstd.ZSTD_decompressStream(self.stream, ctypes.byref(out), ctypes.byref(given))
            if zstd.ZSTD_isError(hint):
                raise Broken("zstd")
            got.append(self.out.raw[:out.pos])
            self.whole = hint == 0
            if given.pos == given.size and (self.whole or out.pos < ROOM):
                return b"".join(got)


class GzipDecoder:
    def __init__(self):
        self.stream = zlib.decompressobj(31)
        self.whole = False

    def feed(self, piece):
        got = b""
        while piece:
            if self.stream.eof:  # one more member
                self.stream = zlib.decompressobj(31)
            try:
                got += self.stream.decompress(piece)
            except zlib.error as error:
                raise Broken("gzip: %s" % error) from error
            piece = self.stream.unused_data
        self.whole = self.stream.eof
        return got


class PlainDecoder:
    whole = True

    @staticmethod
    def feed(piece):
        return piece


def Decoder(coding):  # noqa: N802, it makes one
    return {"zstd": ZstdDecoder, "gzip": GzipDecoder, "identity": PlainDecoder}[coding]()


def decode(coding, body):
    if coding == "br":
        return taught[body]
    decoder = Decoder(coding)
    content = decoder.feed(body)
    if not decoder.whole:
        raise Broken("%s: it ends in the middle" % coding)
    return content


def encode(coding, body):
    if coding == "br":
        return teach(b"br:" + zlib.compress(body), body)
    return {"zstd": zstd_encode, "gzip": lambda b: gzip.compress(b, 6, mtime=0),
            "identity": bytes}[coding](body)


def teach(coded, body):
    taught[coded] = body
    return coded


def text(size, seed=0):
    chance = random.Random("%d %s" % (size, seed))
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randrange(2, 11)))
             for _ in range(1500)]
    made = " ".join(chance.choices(words, k=size // 4 + 1)).encode()
    assert len(made) >= size
    return made[:size]


def phrases(size, seed=0):
    """Pieces of a small text, which high levels find more of."""
    chance, store = random.Random(size), text(20000, seed)
    made = b""
    while len(made) < size:
        at = chance.randrange(len(store) - 60)
        made += store[at:at + chance.randrange(10, 60)]
    return made[:size]


def noise(size, seed=0):
    return random.Random("%d %s" % (size, seed)).randbytes(size)
