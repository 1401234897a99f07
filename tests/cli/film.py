"""What a film holds: its frames, read from the file's structure without decoding anything.

frames(data) gives, for each track, [(time in seconds, is a key frame, bytes)] in the order of the
data; times are when a frame is decoded in MP4, and shown in Matroska.
"""

import struct

BOXES = b"moov trak mdia minf stbl mvex moof traf edts".split()
MASTERS = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xA0


def boxes(data, at, end):
    """(type, start of its inside, end) of each box, those inside others behind them."""
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            size, start = *struct.unpack_from(">Q", data, at + 8), at + 16
        assert size >= start - at, (kind, size)
        stop = min(at + size, end)
        yield kind, start, stop, at
        if kind in BOXES:
            yield from boxes(data, start, stop)
        at += size


def numbers(data, at, form):
    return struct.unpack_from(">" + form, data, at)


def table(data, at, fields):
    """Entries of a table of numbers of 4 bytes."""
    [count] = numbers(data, at + 4, "I")
    flat = numbers(data, at + 8, f"{count * fields}I")
    return [flat[i:i + fields] for i in range(0, len(flat), fields)]


class Track:
    def __init__(self):
        self.tables, self.frames, self.shift = {}, [], 0.0

    def read_tables(self, data):
        sizes_at = self.tables[b"stsz"]
        size, count = numbers(data, sizes_at + 4, "II")
        sizes = [size] * count if size else list(numbers(data, sizes_at + 12, f"{count}I"))
        if not count:
            return
        lengths = [length for times, length in table(data, self.tables[b"stts"], 2)
                   for _ in range(times)]
        keys = None
        if b"stss" in self.tables:
            keys = {key for key, in table(data, self.tables[b"stss"], 1)}
        if b"co64" in self.tables:
            places = [a << 32 | b for a, b in table(data, self.tables[b"co64"], 2)]
        else:
            places = [a for a, in table(data, self.tables[b"stco"], 1)]
        runs = table(data, self.tables[b"stsc"], 3)
        time = number = 0
        for chunk, place in enumerate(places, 1):
            [per] = [run[1] for run in runs if run[0] <= chunk][-1:]
            for _ in range(per):
                frame = data[place:place + sizes[number]]
                assert len(frame) == sizes[number], "data beyond the end"
                self.frames.append((time / self.scale + self.shift,
                                    keys is None or number + 1 in keys, frame))
                place += sizes[number]
                time += lengths[number]
                number += 1
        assert number == count == len(lengths), (number, count, len(lengths))


def edit(data, at, track, scale):
    """What the only edit, and an empty one before it, move the track by."""
    version, count = data[at], numbers(data, at + 4, "I")[0]
    form = "Qq" if version else "Ii"
    for i in range(count):
        duration, time = numbers(data, at + 8 + i * struct.calcsize(">" + form + "I"), form)
        track.shift += duration / scale if time == -1 else -time / track.scale


def fragment(data, moof, state):
    """One box of a fragment."""
    kind, at = state["kind"], state["at"]
    flags = numbers(data, at, "I")[0] & 0xFFFFFF
    if kind == b"tfhd":
        state["track"] = state["tracks"][numbers(data, at + 4, "I")[0]]
        state["base"] = numbers(data, at + 8, "Q")[0] if flags & 1 else moof
        at += 16 if flags & 1 else 8
        state["default"] = {}
        for bit in 2, 8, 16, 32:
            if flags & bit:
                [state["default"][bit]] = numbers(data, at, "I")
                at += 4
    elif kind == b"tfdt":
        state["time"] = numbers(data, at + 4, "Q" if data[at] else "I")[0]
    elif kind == b"trun":
        [count] = numbers(data, at + 4, "I")
        at += 8
        place, first = state["base"], None
        if flags & 1:
            place += numbers(data, at, "i")[0]
            at += 4
        if flags & 4:
            [first] = numbers(data, at, "I")
            at += 4
        track, time = state["track"], state["time"]
        for _ in range(count):
            value = dict(state["default"])
            for bit, name in (256, 8), (512, 16), (1024, 32), (2048, 0):
                if flags & bit:
                    [value[name]] = numbers(data, at, "I")
                    at += 4
            what, first = (value.get(32, 0) if first is None else first), None
            frame = data[place:place + value[16]]
            assert len(frame) == value[16], "data beyond the end"
            track.frames.append((time / track.scale, not what & 0x10000, frame))
            place += value[16]
            time += value[8]
        state["time"] = time


def mp4(data):
    tracks, ids, track, moof, scale = [], {}, None, 0, 0
    state = {"tracks": ids}
    for kind, at, _, start in boxes(data, 0, len(data)):
        if kind == b"mvhd":
            [scale] = numbers(data, at + (20 if data[at] else 12), "I")
        elif kind == b"trak":
            track = Track()
            tracks.append(track)
        elif kind == b"tkhd":
            ids[numbers(data, at + (20 if data[at] else 12), "I")[0]] = track
        elif kind == b"mdhd":
            [track.scale] = numbers(data, at + (20 if data[at] else 12), "I")
        elif kind in (b"stts", b"stss", b"stsc", b"stsz", b"stco", b"co64", b"elst"):
            track.tables[kind] = at
        elif kind == b"moof":
            moof = start
        elif kind in (b"tfhd", b"tfdt", b"trun"):
            state.update(kind=kind, at=at)
            fragment(data, moof, state)
    for track in tracks:
        if b"elst" in track.tables:
            edit(data, track.tables[b"elst"], track, scale)
        track.frames, later = [], track.frames
        track.read_tables(data)
        track.frames += later
    return [track.frames for track in tracks]


def vint(data, at, marked):
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at:at + length], "big")
    rest = value & ((1 << 7 * length) - 1)
    unknown = not marked and rest == (1 << 7 * length) - 1
    return (value if marked else None if unknown else rest), at + length


def elements(data, at, end):
    while at < end:
        identity, at = vint(data, at, True)
        size, at = vint(data, at, False)
        stop = end if size is None else at + size
        assert stop <= end, (hex(identity), stop, end)
        yield identity, at, stop
        # One of unknown size goes on in what comes next.
        at = at if identity in MASTERS else stop


def matroska(data):
    """The first track is 1, and so on, as ffmpeg and mkvmerge number them."""
    tracks, cluster, group = [], 0, None
    for identity, at, end in elements(data, 0, len(data)):
        if identity == 0xAE:
            tracks.append([])
        elif identity == 0xE7:
            cluster = int.from_bytes(data[at:end], "big")
        elif identity in (0xA1, 0xA3):
            track, at = vint(data, at, False)
            [time] = numbers(data, at, "h")
            group = tracks[track - 1]
            key = identity == 0xA1 or bool(data[at + 2] & 0x80)
            group.append(((cluster + time) / 1000, key, data[at + 3:end]))
        elif identity == 0xFB:
            time, _, frame = group[-1]
            group[-1] = time, False, frame
    return tracks


def top(data):
    """Identities of the elements of a Matroska file's segment."""
    return [identity for identity, _, _ in elements(data, 0, len(data)) if identity > 0x10000000]


def frames(data):
    return matroska(data) if data[:4] == b"\x1a\x45\xdf\xa3" else mp4(data)
