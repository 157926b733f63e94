"""Captions inside JPEGs: they come back, readers of pictures do not mind them, and foreign files are refused."""

import cv2
import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.training.jpeg_caption import MOST_BYTES, with_caption, without_caption

JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8))[1].tobytes()


@examples(50)
@given(caption=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_caption_comes_back_and_the_picture_is_the_same(caption: str) -> None:
    captioned = with_caption(JPEG, caption)
    assert without_caption(captioned) == (JPEG, caption)
    shown, plain = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in (captioned, JPEG))
    assert (shown == plain).all()


def test_a_caption_longer_than_a_segment_is_cut() -> None:
    jpeg, caption = without_caption(with_caption(JPEG, "a" * (MOST_BYTES + 5)))
    assert (jpeg, caption) == (JPEG, "a" * MOST_BYTES)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", JPEG, JPEG[:20], with_caption(JPEG, "seven")[:25], b"\x89PNG" + JPEG],
    ids=["empty", "start", "plain", "header", "cut", "png"],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected a JPEG with a"):
        without_caption(data)
