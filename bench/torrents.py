"""Torrents for the benchmarks, written with a plain bencoder that belongs to neither side."""

import hashlib
import random

KIB = 1024
MIB = 1024 * KIB
BLOCK = 16 * KIB


def bencode(value):
    out = []
    _bencode(value, out)
    return b"".join(out)


def _bencode(value, out):
    if isinstance(value, int):
        out.append(b"i%de" % value)
    elif isinstance(value, bytes):
        out.append(b"%d:" % len(value))
        out.append(value)
    elif isinstance(value, str):
        _bencode(value.encode(), out)
    elif isinstance(value, list):
        out.append(b"l")
        for item in value:
            _bencode(item, out)
        out.append(b"e")
    else:
        out.append(b"d")
        for key, item in sorted((_raw(k), v) for k, v in value.items()):
            _bencode(key, out)
            _bencode(item, out)
        out.append(b"e")


def _raw(key):
    return key if isinstance(key, bytes) else key.encode()


def info_hash(info):
    return hashlib.sha1(bencode(info)).hexdigest()


def zeros(name, pieces, piece_size):
    """A torrent of zeros: nobody needs a disk to serve it. Returns (file bytes, info-hash)."""
    digest = hashlib.sha1(bytes(piece_size)).digest()
    info = {
        "name": name,
        "piece length": piece_size,
        "length": pieces * piece_size,
        "pieces": digest * pieces,
    }
    return bencode({"info": info}), info_hash(info)


def of_file(path, name, piece_size):
    """A torrent of this file, hashed. Returns the .torrent's bytes."""
    digests = []
    with open(path, "rb") as file:
        while piece := file.read(piece_size):
            digests.append(hashlib.sha1(piece).digest())
        size = file.tell()
    return bencode({"info": {"name": name, "piece length": piece_size, "length": size,
                             "pieces": b"".join(digests)}})


def _names(rng, count):
    """Paths of two folders and a file, some 50 bytes each, folder by folder as real torrents have
    them (libtorrent looks for a folder among the last it met: in any other order it is slow)."""
    for i in range(count):
        folder = "collection-%04d" % (i // 2500)
        box = "box %03d" % (i // 100)
        yield [folder, box, "item_%06d_%08x.dat" % (i, rng.getrandbits(32))]


def large_v1(size_wanted, file_share, seed):
    """A v1 torrent of about `size_wanted` bytes, of which `file_share` are the list of files."""
    rng = random.Random(seed)
    files = []
    used = 0
    for path in _names(rng, 1 << 20):
        if used >= size_wanted * file_share:
            break
        files.append({"length": rng.randrange(1, 200 * KIB), "path": path})
        used += len(bencode(files[-1]))
    pieces = (size_wanted - used) // 20
    piece_size = BLOCK
    length = sum(f["length"] for f in files)
    # The last file is as long as the pieces need it to be.
    last = pieces * piece_size - length
    while last <= 0:
        piece_size *= 2
        last = pieces * piece_size - length
    files.append({"length": last, "path": ["last"]})
    info = {
        "name": "bench",
        "piece length": piece_size,
        "files": files,
        "pieces": rng.randbytes(20 * pieces),
    }
    return bencode({"announce": "http://127.0.0.1:9/announce", "info": info})


def large_v2(size_wanted, seed):
    """A v2 torrent of about `size_wanted` bytes: a third file tree, the rest piece layers."""
    rng = random.Random(seed)
    tree = {}
    layers = {}
    piece_size = 64 * KIB
    used = 0
    for folder, box, name in _names(rng, 1 << 20):
        if used >= size_wanted:
            break
        pieces = rng.randrange(1, 12)
        hashes = [rng.randbytes(32) for _ in range(pieces)]
        root = _merkle_root(hashes, piece_size) if pieces > 1 else hashes[0]
        if pieces > 1:
            layers[root] = b"".join(hashes)
            used += 32 * (1 + pieces)
        length = pieces * piece_size - rng.randrange(BLOCK)
        tree.setdefault(folder, {}).setdefault(box, {})[name] = {
            "": {"length": length, "pieces root": root}
        }
        used += 120
    info = {"name": "bench", "piece length": piece_size, "meta version": 2, "file tree": tree}
    return bencode({"info": info, "piece layers": layers})


def _merkle_root(hashes, piece_size):
    """BEP 52: the layer is padded with the root of a piece of zero leaves."""
    pad = bytes(32)
    for _ in range((piece_size // BLOCK).bit_length() - 1):
        pad = hashlib.sha256(pad + pad).digest()
    layer = list(hashes)
    while len(layer) & (len(layer) - 1):
        layer.append(pad)
    while len(layer) > 1:
        layer = [
            hashlib.sha256(layer[i] + layer[i + 1]).digest() for i in range(0, len(layer), 2)
        ]
    return layer[0]
