"""The blur of `antialiasing`: a fixed low-pass kernel that takes over the stride of the layer before it."""

from traffic_yolo.darknet.sections.base import Shape

# convolutional_layer.c and maxpool_layer.c: antialiasing=1 is the 3 x 3 binomial kernel, antialiasing=2 a 2 x 2 mean.
_KERNELS = {
    1: ([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], 1),
    2: ([[1.0, 1.0], [1.0, 1.0]], 0),
}


def kernel_of(kind: int) -> tuple[list[list[float]], int]:
    """The weights of a kernel, not yet divided by their sum, and its padding; every unknown kind counts as 1."""
    return _KERNELS.get(kind, _KERNELS[1])


def blur_values(kind: int, channels: int) -> int:
    """float32 values of the kernels."""
    return channels * len(kernel_of(kind)[0]) ** 2


def blurred(kind: int, shape: Shape, *, stride_yx: tuple[int, int]) -> Shape:
    """The shape after the blur of an input of `shape`."""
    values, padding = kernel_of(kind)
    height, width = (
        (length + 2 * padding - len(values)) // stride + 1 for length, stride in zip(shape[1:], stride_yx, strict=True)
    )
    return Shape(shape.channels, height, width)
