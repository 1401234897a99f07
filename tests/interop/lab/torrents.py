"""Payloads that are the same on every run, and torrents of them in all three formats."""

import filecmp
import hashlib
import os
import urllib.parse

import libtorrent as lt

V1, V2, HYBRID = "v1", "v2", "hybrid"


def _bytes(seed, size):
    """size bytes that follow from seed alone."""
    return hashlib.shake_256(seed.encode()).digest(size)


class Torrent:
    """A torrent, its payload and where a copy of any part of it comes from.

    files is a list of (name, size in bytes), by name, which may have folders in it. Where clients
    are to take whole files and hold whole pieces, those of a v1 payload end on a piece's end, but
    for the last.
    """

    def __init__(self, folder, name, kind, files, piece_size, trackers=()):
        self.name, self.kind, self.piece_size = name, kind, piece_size
        self.file_names = [n for n, _ in files]
        self.source = os.path.join(folder, "source-" + kind)
        for file_name, size in files:
            path = os.path.join(self.source, name, file_name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as out:
                out.write(_bytes(f"{name}/{file_name}", size))
        self.path = os.path.join(folder, f"{name}-{kind}.torrent")
        self._make(files, trackers)

    def _make(self, files, trackers):
        storage = lt.file_storage()
        for file_name, size in files:
            storage.add_file(os.path.join(self.name, file_name), size)
        flags = {V1: lt.create_torrent.v1_only, V2: lt.create_torrent.v2_only, HYBRID: 0}[self.kind]
        maker = lt.create_torrent(storage, self.piece_size, flags)
        for tier, url in enumerate(trackers):
            maker.add_tracker(url, tier)
        lt.set_piece_hashes(maker, self.source)
        with open(self.path, "wb") as out:
            out.write(lt.bencode(maker.generate()))
        self.info = lt.torrent_info(self.path)
        self.storage = self.info.files()
        self.pieces = self.info.num_pieces()
        self.size = sum(self.storage.file_size(i) for i in range(self.storage.num_files())
                        if not self._is_pad(i))

    def with_trackers(self, *trackers):
        """Another torrent file of the same torrent, with these trackers instead."""
        with open(self.path, "rb") as source:
            torrent = lt.bdecode(source.read())
        for key in (b"announce", b"announce-list"):
            torrent.pop(key, None)
        if trackers:
            torrent[b"announce"] = trackers[0]
            torrent[b"announce-list"] = [[t] for t in trackers]
        name = hashlib.sha1("".join(trackers).encode()).hexdigest()[:8]
        path = self.path.replace(".torrent", f"-{name}.torrent")
        with open(path, "wb") as out:
            out.write(lt.bencode(torrent))
        return path

    def _is_pad(self, file):
        return bool(self.storage.file_flags(file) & lt.file_flags_t.flag_pad_file)

    def info_hashes(self):
        """The 20-byte info-hashes by which the swarm meets, in hexadecimal."""
        both = self.info.info_hashes()
        found = []
        if both.has_v1():
            found.append(str(both.v1))
        if both.has_v2():
            found.append(str(both.v2)[:40])
        return found

    def magnet(self, trackers=(), peers=(), only=None):
        """The magnet link, with all info-hashes or that of one version only."""
        both = self.info.info_hashes()
        topics = []
        if both.has_v1() and only != V2:
            topics.append("xt=urn:btih:" + str(both.v1))
        if both.has_v2() and only != V1:
            topics.append("xt=urn:btmh:1220" + str(both.v2))
        topics += ["tr=" + urllib.parse.quote(t, safe="") for t in trackers]
        topics += ["x.pe=" + p for p in peers]
        return "magnet:?" + "&".join(topics)

    def pieces_of(self, *file_names):
        """The pieces that hold these files."""
        held = set()
        for file in range(self.storage.num_files()):
            size = self.storage.file_size(file)
            if size and os.path.basename(self.storage.file_path(file)) in file_names:
                first = self.storage.file_offset(file)
                last = first + size - 1
                held |= set(range(first // self.piece_size, last // self.piece_size + 1))
        return held

    def all_pieces(self):
        return set(range(self.pieces))

    def place(self, folder, held):
        """Write the pieces in held, and nothing else, where a client that saves to folder looks.

        A file without any of them is not made: libtorrent cannot check an empty one.
        """
        os.makedirs(folder, exist_ok=True)
        for file in range(self.storage.num_files()):
            path = os.path.join(folder, self.storage.file_path(file))
            spans = self._spans(file, held)
            if spans:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as out:
                    for offset, size in spans:
                        out.seek(offset)
                        out.write(self._read(file, offset, size))

    def wrong_files(self, folder):
        """The names of those files that are not in the folder as they should be."""
        def same(name):
            pair = [os.path.join(at, self.name, name) for at in (self.source, folder)]
            return os.path.exists(pair[1]) and filecmp.cmp(*pair, shallow=False)
        filecmp.clear_cache()
        return [name for name in self.file_names if not same(name)]

    def _spans(self, file, held):
        """The (offset, size) of each part of the file that lies in a held piece."""
        start, size = self.storage.file_offset(file), self.storage.file_size(file)
        spans = []
        for piece in sorted(held):
            first = max(piece * self.piece_size - start, 0)
            last = min((piece + 1) * self.piece_size - start, size)
            if first < last:
                spans.append((first, last - first))
        return spans

    def _read(self, file, offset, size):
        if self._is_pad(file):
            return bytes(size)
        with open(os.path.join(self.source, self.storage.file_path(file)), "rb") as source:
            source.seek(offset)
            return source.read(size)


def pieces_from_bits(bits, count):
    """The set of pieces that a bitfield (most significant bit first) says are there."""
    return {i for i in range(count) if bits[i // 8] & (0x80 >> (i % 8))}
