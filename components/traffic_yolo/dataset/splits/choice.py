"""What `--splits` asks for: all in one split, no splits, shares of the groups, or whatever fits the source."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from traffic_yolo.dataset.records import ALL, SPLITS
from traffic_yolo.errors import OptionsError

AUTO = "auto"
NONE = "none"
DEFAULT_SHARES: Mapping[str, float] = {"train": 0.6, "val": 0.2, "test": 0.2}
ROUNDING = 1e-3  # of the sum of shares: 0.33/0.33/0.34 and 0.333/0.333/0.333 are meant as they stand


@dataclass(frozen=True)
class SplitChoice:
    """`whole` names the split that every picture goes into, "" where groups are shared out.

    `shares` of the groups by split, each in [0, 1], 1 in all; a split of share 0 gets no group that nobody named.
    `is_asked` tells shares that the user stated from the usual ones, which give way to the source's own splits.
    """

    whole: str = ""
    shares: Mapping[str, float] = field(default_factory=lambda: DEFAULT_SHARES)
    is_asked: bool = False

    @classmethod
    def parse(cls, text: str) -> "SplitChoice":
        """`auto`, `train`, `val`, `test`, `none`, `0.8/0.1/0.1` or `train=0.8,val=0.1,test=0.1`.

        Named shares may leave a split out, whose share is 0. Raises `OptionsError` for anything else.
        """
        if text == AUTO:
            return cls()
        if text == NONE:
            return cls(whole=ALL, is_asked=True)
        if text in SPLITS:
            return cls(whole=text, is_asked=True)
        shares = _named_shares(text) if "=" in text else _listed_shares(text)
        if not all(0 <= share <= 1 for share in shares.values()) or abs(sum(shares.values()) - 1) > ROUNDING:
            raise OptionsError(f"splits: expected shares from 0 to 1 that add up to 1; found {text!r}")
        return cls(shares=shares, is_asked=True)

    @property
    def names(self) -> tuple[str, ...]:
        """The splits that the data set has, whether or not a picture is in them."""
        return (ALL,) if self.whole == ALL else SPLITS

    @property
    def wanted(self) -> tuple[str, ...]:
        """The splits that are to have pictures."""
        return (self.whole,) if self.whole else tuple(split for split in SPLITS if self.shares[split])


def _listed_shares(text: str) -> dict[str, float]:
    parts = text.split("/")
    if len(parts) != len(SPLITS):
        raise _refusal(text)
    return dict(zip(SPLITS, (_share(part, text) for part in parts), strict=True))


def _named_shares(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (word.strip() for word in part.partition("="))
        if name not in SPLITS or name in shares:
            raise _refusal(text)
        shares[name] = _share(number, text)
    return {split: shares.get(split, 0.0) for split in SPLITS}


def _share(number: str, text: str) -> float:
    try:
        return float(number)
    except ValueError:
        raise _refusal(text) from None


def _refusal(text: str) -> OptionsError:
    words = ", ".join((AUTO, *SPLITS, NONE))
    return OptionsError(
        f"splits: expected one of {words}, or shares such as 0.8/0.1/0.1 or train=0.8,val=0.1,test=0.1; "
        f"found {text!r:.80}"
    )
