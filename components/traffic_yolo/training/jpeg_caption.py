"""A caption inside a JPEG, as its comment (marker COM): the file says what it shows, wherever it is copied."""

START = b"\xff\xd8"
JFIF = b"\xff\xe0"  # APP0, which readers want to come first
COMMENT = b"\xff\xfe"
MOST_BYTES = 0xFFFF - 2  # of a segment, whose length counts its own two bytes


def with_caption(jpeg: bytes, caption: str) -> bytes:
    """A JPEG without a comment -> with one behind its JFIF header; UTF-8, cut where a segment ends."""
    place = _place(jpeg)
    text = caption.encode()[:MOST_BYTES]
    return b"".join((jpeg[:place], COMMENT, (len(text) + 2).to_bytes(2, "big"), text, jpeg[place:]))


def without_caption(jpeg: bytes) -> tuple[bytes, str]:
    """What went into `with_caption`; raises `ValueError` for bytes that did not come out of it."""
    place = _place(jpeg)
    end = place + 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    if jpeg[place : place + 2] != COMMENT or end < place + 4 or end > len(jpeg):
        raise ValueError("expected a JPEG with a caption, found other bytes")
    return jpeg[:place] + jpeg[end:], jpeg[place + 4 : end].decode(errors="replace")


def _place(jpeg: bytes) -> int:
    """Where the comment is, or goes."""
    if not jpeg.startswith(START + JFIF):
        raise ValueError("expected a JPEG with a JFIF header, found other bytes")
    return len(START) + 2 + int.from_bytes(jpeg[4:6], "big")
