"""Keys that we read only to refuse: what each would change, and why we do not follow. docs/darknet.md has the table."""

from dataclasses import dataclass

from traffic_yolo.darknet.cfg import Section


@dataclass(frozen=True)
class RefusedKey:
    """A key that makes a network another one: refused with every value but `allowed`, which is Darknet's default.

    Where `beside` names a key, only while that one is not 0. A text as `allowed` means that the key holds text.
    """

    reason: str
    allowed: int | str = 0
    beside: str = ""

    def check(self, section: Section, key: str) -> None:
        """Raises `DarknetFormatError` with the reason where the section has the key with another value."""
        if self.beside and not section.get_int(self.beside, 0):
            return
        if isinstance(self.allowed, str):
            refused = section.get_str(key, self.allowed) != self.allowed
        else:
            refused = section.get_int(key, self.allowed) != self.allowed
        if refused:
            raise section.error(f"{key}={section.get_str(key, '')[:80]} is not supported: {self.reason}", key=key)


_BINARY = "binary kernels would be run with the full ones, which gives other numbers"
_TURNED = "kernels that are turned or stretched are built anew in each training step"
_NOT_LOADED = "Darknet would leave these weights random though the file has them"

# parser.c load_weights_upto looks at these of every layer.
IN_EVERY_SECTION = {"dontload": RefusedKey(_NOT_LOADED), "dontloadscales": RefusedKey(_NOT_LOADED)}
IN_CONVOLUTIONAL = {
    "xnor": RefusedKey(_BINARY),
    "binary": RefusedKey(_BINARY),
    "bin_output": RefusedKey(_BINARY),
    "sway": RefusedKey(_TURNED),
    "rotate": RefusedKey(_TURNED),
    "stretch": RefusedKey(_TURNED),
    "stretch_sway": RefusedKey(_TURNED),
    "coordconv": RefusedKey("Darknet adds the coordinates on a GPU only, so that its own CPU and GPU disagree"),
    "flipped": RefusedKey("such a file has the kernels of this layer transposed"),
}
IN_MAXPOOL = {
    "maxpool_zero_nonmax": RefusedKey("it zeroes the layer before it"),
    "antialiasing": RefusedKey("with maxpool_depth Darknet returns before its blur", beside="maxpool_depth"),
}
IN_DROPOUT = {
    "dropblock": RefusedKey("in training it zeroes whole squares of values, and our training zeroes single ones")
}
IN_SOFTMAX = {
    "spatial": RefusedKey("Darknet does it on a GPU only"),
    "tree": RefusedKey("the classes' tree stands in another file", allowed=""),
}
IN_REGION = {"coords": RefusedKey("a box has four numbers, and masks are not read", allowed=4)}
