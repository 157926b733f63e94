"""The model that a training learns from besides the labels: found, held against the network, run, its outputs kept.

What is learnt from its outputs is in `distillation`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import TrainingError
from traffic_yolo.messages import shown_names
from traffic_yolo.storage import AnyPath
from traffic_yolo.training.teacher_files import TeacherFiles

log = logging.getLogger(__name__)

# What two heads must have in common for an entry of one to mean what it means in the other
_SAME = {"stride": "stride", "mask_anchors": "anchors", "num_classes": "classes", "new_coords": "new_coords"}


class Teacher:
    """A network that is run on the pictures of each batch, without gradients. Nothing of it changes.

    With `keep_mib` its outputs are kept, as many as fit into so much memory: only where a picture always looks the
    same. Each is then computed by itself, so that what a training gets does not depend on which were kept before an
    interruption.
    """

    def __init__(
        self, files: TeacherFiles, network: Network, *, device: torch.device, keep_mib: int | None, precision: str = ""
    ) -> None:
        """`network`: with the teacher's weights; it is moved to `device`. `precision`: by default `fast_precision`."""
        self.files, self.heads = files, tuple(network.heads)
        self.precision = precision or fast_precision(device)
        self._network = network.fuse().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        self._kept = None if keep_mib is None else KeptOutputs(keep_mib << 20)

    @classmethod
    def open(
        cls,
        model: AnyPath,
        network: Network,
        classes: Sequence[str],
        *,
        device: torch.device,
        keep_mib: int | None = None,
    ) -> "Teacher":
        """The teacher of `network`, which is for `classes`.

        Raises `TrainingError` for a teacher of other classes or heads, and as `TeacherFiles.find` and `Network.read`.
        """
        files, teacher = check_teacher(model, network, classes)
        return cls(files, teacher, device=device, keep_mib=keep_mib)

    @property
    def text(self) -> str:
        """What it is and how it is run, for the user."""
        how = (
            "its outputs are kept, for every picture always looks the same"
            if self._kept is not None
            else "it looks at every batch anew, for augmentation changes the pictures"
        )
        return f"teacher {self.files.name}, in {self.precision}: {how}"

    def __call__(self, images: Tensor, file_names: Sequence[tuple[str, ...]]) -> list[Tensor]:
        """(B, 3, H, W) float32 RGB in [0, 1], and which pictures went into each -> per head (B, A * (5 + C), h, w).

        float32, on the device of `images`.
        """
        if self._kept is None:
            return self._run(images)
        rows = []
        for image, names in zip(images, file_names, strict=True):
            found = self._kept.get(names[0])
            if found is None:
                found = [output[0] for output in self._run(image[None])]
                self._kept.put(names[0], found)
            rows.append(found)
        return [torch.stack(list(outputs)) for outputs in zip(*rows, strict=True)]

    def _run(self, images: Tensor) -> list[Tensor]:
        # Whatever number format the training has: its own is entered anew
        is_half = self.precision == "bfloat16"
        with (
            torch.no_grad(),
            torch.autocast(self._device.type, dtype=torch.bfloat16 if is_half else None, enabled=is_half),
        ):
            return [output.float() for output in self._network(images.contiguous(memory_format=torch.channels_last))]


@dataclass
class KeptOutputs:
    """Outputs by picture, float32 on their device; what comes when `most_bytes` are full is not kept."""

    most_bytes: int
    num_bytes: int = 0
    _outputs: dict[str, list[Tensor]] = field(default_factory=dict)

    def get(self, name: str) -> list[Tensor] | None:
        """What was kept of a picture, None where nothing was."""
        return self._outputs.get(name)

    def put(self, name: str, outputs: list[Tensor]) -> None:
        """Keeps copies, where there is room."""
        size = sum(output.numel() * output.element_size() for output in outputs)
        if self.num_bytes + size <= self.most_bytes:
            self._outputs[name] = [output.clone() for output in outputs]
            self.num_bytes += size


def fast_precision(device: torch.device) -> str:
    """bfloat16 where the device computes in it, float32 elsewhere: emulated, it takes longer.

    By what the device is and not by a clock, so that an interrupted training goes on with the same numbers. Published
    for GPUs from compute capability 8.0 on; convolutions of a CPU with AMX took a tenth of float32's time.
    """
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bfloat16" if major >= 8 else "float32"
    return "bfloat16" if torch.cpu._is_amx_tile_supported() else "float32"


def check_teacher(model: AnyPath, network: Network, classes: Sequence[str]) -> tuple[TeacherFiles, Network]:
    """The teacher's files and network; raises as `Teacher.open`."""
    files = TeacherFiles.find(model)
    _check_classes(files, classes)
    teacher = Network.read(files.cfg, files.weights)
    check_same_heads(files, teacher, network)
    return files, teacher


def _check_classes(files: TeacherFiles, classes: Sequence[str]) -> None:
    if [name.casefold() for name in files.classes] != [name.casefold() for name in classes]:
        raise TrainingError(
            f"teacher: {files.weights} knows {len(files.classes)} classes ({shown_names(files.classes)}), the data set "
            f"has {len(classes)} ({shown_names(classes)}); expected the same in the same order: take a teacher that "
            f"was trained on these classes"
        )


def check_same_heads(files: TeacherFiles, teacher: Network, network: Network) -> None:
    """Raises `TrainingError` unless the teacher's heads are as many, with the same cells, anchors and classes."""
    if len(teacher.heads) != len(network.heads):
        raise TrainingError(
            f"teacher: {files.cfg} has {len(teacher.heads)} heads, the network has {len(network.heads)}; expected as "
            f"many, with the same strides and anchors"
        )
    for number, (head, other) in enumerate(zip(network.heads, teacher.heads, strict=True), start=1):
        if other.section_name != "yolo":
            raise TrainingError(f"teacher: {files.cfg} has a [{other.section_name}] head; expected [yolo] heads")
        for name, what in _SAME.items():
            wanted, found = getattr(head, name), getattr(other, name)
            if wanted != found:
                raise TrainingError(
                    f"teacher: head {number} of {files.cfg} (layer {other.layer_index}) has {what} {_shown(found)}, "
                    f"that of the network (layer {head.layer_index}) {_shown(wanted)}; expected the same"
                )
    if teacher.letterbox != network.letterbox:
        log.warning(
            "teacher: %s was trained with letter_box=%d, and sees the pictures as this training has them, with %d",
            files.cfg,
            teacher.letterbox,
            network.letterbox,
        )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{width:g}x{height:g}" for width, height in value)
    return str(value)
