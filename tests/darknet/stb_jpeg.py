"""Decodes JPEG files to the bytes that Darknet's decoder gives, so that a comparison with Darknet can be exact.

Darknet without OpenCV reads pictures with stb_image, whose inverse cosine transform, upsampling and colour rule round
otherwise than libjpeg's: up to 3 of 255 in a part of the pixels. Baseline files of one or three components; for tests.
"""

import struct
from dataclasses import dataclass, field

import numpy as np

ZIGZAG = np.array(sorted(range(64), key=lambda k: (k // 8 + k % 8, k % 8 if (k // 8 + k % 8) % 2 == 0 else k // 8)))


@dataclass
class Component:
    across: int
    down: int
    quantisation: int
    dc_table: int = 0
    ac_table: int = 0
    coefficients: list[list[int]] = field(default_factory=list)  # one list of 64 a block, natural order


def read_rgb(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8."""
    tables, huffman, components = {}, {}, {}
    restart = 0
    position = 2
    while True:
        marker, length = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
        body = data[position + 4 : position + 2 + length]
        position += 2 + length
        if marker == 0xDB:
            while body:
                wide = body[0] >> 4
                tables[body[0] & 15] = np.frombuffer(body[1 : 65 + 64 * wide], ">u2" if wide else "u1").astype(int)
                body = body[65 + 64 * wide :]
        elif marker == 0xC4:
            while body:
                counts = body[1:17]
                huffman[body[0]] = lookup_table(counts, body[17 : 17 + sum(counts)])
                body = body[17 + sum(counts) :]
        elif marker in (0xC0, 0xC1):
            height, width = struct.unpack_from(">HH", body, 1)
            for index in range(body[5]):
                identity, sampling, table = body[6 + 3 * index : 9 + 3 * index]
                components[identity] = Component(sampling >> 4, sampling & 15, table)
        elif marker == 0xC2:
            raise ValueError("progressive JPEG")
        elif marker == 0xDD:
            restart = struct.unpack(">H", body)[0]
        elif marker == 0xDA:
            for index in range(body[0]):
                identity, chosen = body[1 + 2 * index : 3 + 2 * index]
                components[identity].dc_table, components[identity].ac_table = chosen >> 4, 16 | chosen & 15
            break
    parts = list(components.values())
    decode_scan(data[position:], parts, huffman, restart, (height, width))
    planes = [plane_of(part, parts, tables[part.quantisation], (height, width)) for part in parts]
    if len(planes) == 1:
        return np.repeat(planes[0][..., None], 3, axis=2)
    return to_rgb(*planes)


def lookup_table(counts: bytes, symbols: bytes) -> list[tuple[int, int]]:
    """For every 16 bits to come: the length of the code they begin with, and its symbol."""
    table, code, used = [], 0, 0
    for length, count in enumerate(counts, start=1):
        for _ in range(count):
            table += [(length, symbols[used])] * (1 << (16 - length))
            used += 1
            code += 1
        code <<= 1
    return table + [(16, 0)] * ((1 << 16) - len(table))


def decode_scan(data, parts, huffman, restart, image_hw):
    """Fills the components' coefficients with those of all blocks, in the order of the scan."""
    most_across, most_down = max(part.across for part in parts), max(part.down for part in parts)
    if len(parts) == 1:
        parts[0].across = parts[0].down = most_across = most_down = 1
    units = -(-image_hw[0] // (8 * most_down)) * -(-image_hw[1] // (8 * most_across))
    segments = segment_windows(data)
    for unit in range(units):
        if unit == 0 or (restart and unit % restart == 0):
            windows, position, predictions = next(segments), 0, [0] * len(parts)
        for index, part in enumerate(parts):
            tables = huffman[part.dc_table], huffman[part.ac_table]
            for _ in range(part.across * part.down):
                block, position = decode_block(windows, position, *tables, predictions[index])
                predictions[index] = block[0]
                part.coefficients.append(block)


def decode_block(windows, position, dc, ac, prediction):
    """The 64 numbers of a block in the order of the file, and the bit after it."""
    block = [0] * 64
    table, k = dc, 0
    while k < 64:
        length, symbol = table[windows[position >> 3] >> (16 - (position & 7)) & 0xFFFF]
        position += length
        size = symbol & 15
        if table is ac:
            if not size and symbol != 0xF0:
                break
            k += symbol >> 4
        if size:
            value = windows[position >> 3] >> (32 - size - (position & 7)) & ((1 << size) - 1)
            position += size
            block[k] = value if value >> (size - 1) else value - (1 << size) + 1
        table = ac
        k += 1
    block[0] += prediction
    return block, position


def segment_windows(data):
    """For the bits between restart markers: the 32 bits that begin at each byte, ones behind the end."""
    start = 0
    while True:
        end = data.index(b"\xff", start)
        while not data[end + 1]:
            end = data.index(b"\xff", end + 2)
        clean = np.frombuffer(data[start:end].replace(b"\xff\0", b"\xff") + b"\xff" * 8, np.uint8).astype(np.int64)
        yield (clean[:-3] << 24 | clean[1:-2] << 16 | clean[2:-1] << 8 | clean[3:]).tolist()
        if not 0xD0 <= data[end + 1] <= 0xD7:
            return
        start = end + 2


def plane_of(part, parts, table, image_hw):
    """(H, W) uint8 of one component, at the picture's size."""
    most_across, most_down = max(p.across for p in parts), max(p.down for p in parts)
    units_down, units_across = (
        -(-length // (8 * most)) for length, most in zip(image_hw, (most_down, most_across), strict=True)
    )
    blocks = np.zeros((len(part.coefficients), 64), np.int64)
    blocks[:, ZIGZAG] = np.array(part.coefficients) * table
    pixels = inverse_transform(blocks.reshape(-1, 8, 8))
    pixels = pixels.reshape(units_down, units_across, part.down, part.across, 8, 8)
    pixels = pixels.transpose(0, 2, 4, 1, 3, 5).reshape(units_down * part.down * 8, units_across * part.across * 8)
    height, width = image_hw
    times_down, times_across = most_down // part.down, most_across // part.across
    low_height = -(-height * part.down // most_down)
    return upsample(pixels, low_height, -(-width // times_across), times_down, times_across)[:height, :width]


def upsample(low, low_height, low_width, times_down, times_across):
    """stb_image's rows: a triangle filter for a factor of two, in each direction."""
    low = low[:low_height, :low_width].astype(np.int64)
    if (times_down, times_across) == (1, 1):
        return low.astype(np.uint8)
    if times_down not in (1, 2) or times_across not in (1, 2):
        raise ValueError("sampling of other than one or two")
    if times_down == 2:
        above, below = np.concatenate([low[:1], low[:-1]]), np.concatenate([low[1:], low[-1:]])
        rows = np.stack([3 * low + above, 3 * low + below], axis=1).reshape(-1, low_width)  # times 4
        if times_across == 1:
            return (rows + 2 >> 2).astype(np.uint8)
        wide = np.empty((len(rows), 2 * low_width), np.int64)
        wide[:, 1:-1:2] = 3 * rows[:, :-1] + rows[:, 1:] + 8 >> 4
        wide[:, 2::2] = 3 * rows[:, 1:] + rows[:, :-1] + 8 >> 4
        wide[:, 0], wide[:, -1] = rows[:, 0] + 2 >> 2, rows[:, -1] + 2 >> 2
        return wide.astype(np.uint8)
    wide = np.empty((low_height, 2 * low_width), np.int64)
    wide[:, 1:-1:2] = 3 * low[:, :-1] + low[:, 1:] + 2 >> 2
    wide[:, 2::2] = 3 * low[:, 1:] + low[:, :-1] + 2 >> 2
    wide[:, 0], wide[:, -1] = low[:, 0], low[:, -1]
    wide[:, -2] = 3 * low[:, -2] + low[:, -1] + 2 >> 2
    return wide.astype(np.uint8)


def inverse_transform(blocks):
    """(N, 8, 8) dequantised coefficients -> (N, 8, 8) uint8, in stb_image's fixed point."""
    columns = np.stack(one_dimension(*(blocks[:, k] for k in range(8)), 512), axis=1) >> 10
    rows = np.stack(one_dimension(*(columns[:, :, k] for k in range(8)), 65536 + (128 << 17)), axis=2) >> 17
    return np.clip(rows, 0, 255).astype(np.uint8)


def fixed(number):
    return int(number * 4096 + 0.5)  # towards zero, for negative numbers too


def one_dimension(s0, s1, s2, s3, s4, s5, s6, s7, rounding):
    even = (s2 + s6) * fixed(0.5411961)
    t2, t3 = even + s6 * fixed(-1.847759065), even + s2 * fixed(0.765366865)
    t0, t1 = (s0 + s4) * 4096 + rounding, (s0 - s4) * 4096 + rounding
    x0, x3, x1, x2 = t0 + t3, t0 - t3, t1 + t2, t1 - t2
    p3, p4, p1, p2 = s7 + s3, s5 + s1, s7 + s1, s5 + s3
    p5 = (p3 + p4) * fixed(1.175875602)
    p1, p2 = p5 + p1 * fixed(-0.899976223), p5 + p2 * fixed(-2.562915447)
    p3, p4 = p3 * fixed(-1.961570560), p4 * fixed(-0.390180644)
    t3 = s1 * fixed(1.501321110) + p1 + p4
    t2 = s3 * fixed(3.072711026) + p2 + p3
    t1 = s5 * fixed(2.053119869) + p2 + p4
    t0 = s7 * fixed(0.298631336) + p1 + p3
    return x0 + t3, x1 + t2, x2 + t1, x3 + t0, x3 - t0, x2 - t1, x1 - t2, x0 - t3


def to_rgb(y, cb, cr):
    """stb_image's colour rule, in 20 bits after the point; the low half of green's blue share is cut off."""

    def factor(number):
        return int(number * 4096 + 0.5) << 8

    light = (y.astype(np.int64) << 20) + (1 << 19)
    blue, red = cb.astype(np.int64) - 128, cr.astype(np.int64) - 128
    green = light - red * factor(0.71414) + (-blue * factor(0.34414) & ~0xFFFF)
    planes = [light + red * factor(1.402), green, light + blue * factor(1.772)]
    return np.stack([np.clip(plane >> 20, 0, 255) for plane in planes], axis=2).astype(np.uint8)
