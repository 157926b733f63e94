"""What both losses promise a training: sums over pictures, any size, plain refusals, a state that survives."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.heads import GaussianYoloHead, YoloHead, read_yolo_head
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.loss import Loss, YoloLoss, check_heads
from traffic_yolo.training.options import LOSSES, TrainingOptions
from traffic_yolo.training.targets import Truths, join_truths

NET = Cfg.parse("[net]\n").net
ANCHORS = ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0), (81.0, 82.0))
FINE = YoloHead(
    layer_index=3, anchors=ANCHORS, mask=(0, 1), num_classes=3, stride=8, scale_x_y=1.05, ignore_thresh=0.7,
    iou_thresh=0.213, iou_loss="ciou", iou_normalizer=0.07, max_delta=5.0,
)  # fmt: skip
COARSE = replace(FINE, layer_index=5, mask=(2, 3), stride=16)
BATCH = 4


def scene(seed: int = 0, *, ignore: float = 0.0) -> Truths:
    """A batch of pictures with 0, 3, 6, … boxes, crowded enough that cells have several."""
    random = np.random.default_rng(seed)
    counts = [3 * image for image in range(BATCH)]
    boxes = [np.c_[random.uniform(0, 1, (n, 2)), random.uniform(0.05, 0.6, (n, 2))].astype(np.float32) for n in counts]
    classes = [random.integers(0, 3, n) for n in counts]
    return join_truths(boxes, classes, [random.random(n) < ignore for n in counts])


def head_inputs(size: int = 64, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(BATCH, 16, size // stride, size // stride) for stride in (8, 16)]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def loss_of(kind: str, heads: tuple[YoloHead, ...] = (FINE, COARSE)) -> YoloLoss:
    return YoloLoss(heads, NET, kind=kind, max_batches=100)


def run(kind: str, inputs: list[torch.Tensor], truths: Truths, *, size: int = 64) -> tuple[Loss, list[torch.Tensor]]:
    """The loss, and its gradients."""
    loss = loss_of(kind)(inputs, truths, network_wh=(size, size), iteration=0)
    return loss, list(torch.autograd.grad(loss.total, inputs))


@pytest.mark.parametrize("kind", LOSSES)
def test_slices_of_a_batch_add_up_to_the_batch(kind: str) -> None:
    inputs, truths = head_inputs(), scene(ignore=0.2)
    whole, gradients = run(kind, inputs, truths)
    parts = []
    for start, stop in ((0, 1), (1, 4)):
        some = [x[start:stop].detach().requires_grad_() for x in inputs]
        part, part_gradients = run(kind, some, truths.of_images(start, stop))
        parts.append(part)
        for gradient, expected in zip(part_gradients, gradients, strict=True):
            torch.testing.assert_close(gradient, expected[start:stop])
    for name in ("total", "box", "objectness", "classes"):
        torch.testing.assert_close(sum(getattr(part, name) for part in parts), getattr(whole, name))
    assert sum(part.num_assigned for part in parts) == whole.num_assigned > 9
    assert sum(part.total_bbox for part in parts) == whole.total_bbox
    assert sum(part.rewritten_bbox for part in parts) == whole.rewritten_bbox > 0


@pytest.mark.parametrize("kind", LOSSES)
def test_heads_add_up_and_total_is_the_sum_of_its_parts(kind: str) -> None:
    inputs, truths = head_inputs(), scene()
    both, _ = run(kind, inputs, truths)
    alone = [
        loss_of(kind, (head,))([x], truths, network_wh=(64, 64), iteration=0)
        for head, x in zip((FINE, COARSE), inputs, strict=True)
    ]
    torch.testing.assert_close(sum(loss.total for loss in alone), both.total)
    torch.testing.assert_close(both.box + both.objectness + both.classes, both.total.detach())
    weighted = sum(loss.iou * loss.num_assigned for loss in alone) / both.num_assigned
    torch.testing.assert_close(weighted, both.iou)
    values = [getattr(both, field.name) for field in fields(both) if field.name != "total"]
    assert not any(value.requires_grad for value in values if isinstance(value, torch.Tensor))


@pytest.mark.parametrize("kind", LOSSES)
def test_size_may_change_from_call_to_call(kind: str) -> None:
    loss, truths = loss_of(kind), scene()
    first = loss(head_inputs(64), truths, network_wh=(64, 64), iteration=0)
    loss(head_inputs(96), truths, network_wh=(96, 96), iteration=1)
    again = loss(head_inputs(64), truths, network_wh=(64, 64), iteration=2)
    assert again.total == first.total


@pytest.mark.parametrize("kind", LOSSES)
def test_memory_format_changes_nothing(kind: str) -> None:
    inputs, truths = head_inputs(dtype=torch.float32), scene()
    turned = [x.detach().to(memory_format=torch.channels_last).requires_grad_() for x in inputs]
    (plain, gradients), (last, last_gradients) = run(kind, inputs, truths), run(kind, turned, truths)
    torch.testing.assert_close(last.total, plain.total)
    for a, b in zip(last_gradients, gradients, strict=True):
        torch.testing.assert_close(a, b)
        assert a.dtype == torch.float32


@pytest.mark.parametrize("kind", LOSSES)
def test_batch_without_boxes_is_background(kind: str) -> None:
    loss, gradients = run(kind, head_inputs(), scene().where(np.zeros(18, bool)))
    assert (loss.num_assigned, loss.iou.item(), loss.box.item(), loss.classes.item()) == (0, 0, 0, 0)
    assert all(gradient.unflatten(1, (2, 8))[:, :, 4].min() > 0 for gradient in gradients)


@pytest.mark.parametrize("kind", LOSSES)
def test_ignored_boxes_cost_nothing(kind: str) -> None:
    """Neither as objects nor as background; the predictions inside one have no gradient at all."""
    inputs = [torch.zeros_like(x).requires_grad_() for x in head_inputs()]
    # A class outside the network's is no mistake here: nobody asks what an ignored box is.
    boxes, classes, ignore = np.array([[0.5, 0.5, 2, 2]], np.float32), np.array([9]), np.array([True])
    loss, gradients = run(kind, inputs, join_truths([boxes] * BATCH, [classes] * BATCH, [ignore] * BATCH))
    assert all(gradient.abs().max() == 0 for gradient in gradients)
    assert loss.total == 0


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("class_id", [3, -1])
def test_class_that_the_network_lacks_is_named(kind: str, class_id: int) -> None:
    truths = scene()
    truths.class_ids[4] = class_id
    message = f"boxes: expected class ids from 0 to 2, those of the network, found class {class_id} in picture 2"
    with pytest.raises(TrainingError, match=message):
        run(kind, head_inputs(), truths)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("entry", range(8))
def test_nan_among_the_inputs_is_seen_in_the_total(kind: str, entry: int) -> None:
    inputs = head_inputs()
    with torch.no_grad():
        inputs[1][0, entry, 0, 0] = torch.nan
    assert loss_of(kind)(inputs, scene(), network_wh=(64, 64), iteration=0).total.isnan()


@pytest.mark.parametrize("kind", LOSSES)
def test_gradient_is_scaled_by_what_comes_from_above(kind: str) -> None:
    inputs, truths = head_inputs(), scene()
    _, gradients = run(kind, inputs, truths)
    loss = loss_of(kind)(inputs, truths, network_wh=(64, 64), iteration=0)
    for _ in range(2):
        (loss.total / 4).backward(retain_graph=True)
    for x, gradient in zip(inputs, gradients, strict=True):
        assert x.grad is not None
        torch.testing.assert_close(x.grad, gradient / 2)


def test_both_losses_train_the_same_predictions() -> None:
    inputs, truths = head_inputs(), scene(ignore=0.2)
    found = [run(kind, inputs, truths)[1] for kind in LOSSES]
    for darknet, exact in zip(*found, strict=True):
        assert darknet.ne(0).equal(exact.ne(0))


def test_default_loss_is_an_option() -> None:
    assert TrainingOptions().loss in LOSSES


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind: expected darknet or exact, found 'v8'"):
        loss_of("v8")


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize(
    "keys",
    ["focal_loss=1", "counters_per_class=1,2,3", "truth_thresh=.7", "objectness_smooth=1", "label_smooth_eps=.1"],
)
def test_keys_that_were_refused_are_trained(kind: str, keys: str) -> None:
    head = _head(keys)
    check_heads([head], NET, kind=kind)
    loss = loss_of(kind, (head,))([torch.zeros(BATCH, 8, 2, 2)], scene(), network_wh=(16, 16), iteration=0)
    assert torch.isfinite(loss.total)


@pytest.mark.parametrize("key", ["map=coco9k.map", "embedding_layer=2"])
def test_keys_of_another_kind_of_training_are_refused_by_name(key: str) -> None:
    message = rf"\[yolo\] of layer 1: {key.partition('=')[0]} is not supported in training; remove the key"
    with pytest.raises(TrainingError, match=message):
        check_heads([_head(key)], NET, kind="darknet")


def _head(keys: str) -> YoloHead:
    text = f"[net]\n[yolo]\nanchors=8,8\nclasses=3\n{keys}\n"
    return read_yolo_head(Cfg.parse(text).layers[0], layer_index=1, stride=8)


def test_other_sections_are_refused() -> None:
    head = GaussianYoloHead(layer_index=4, anchors=((8, 8),), mask=(0,), num_classes=1, stride=8)
    with pytest.raises(TrainingError, match=r"\[Gaussian_yolo\] of layer 4: cannot be trained here"):
        check_heads([head], NET, kind="darknet")


@pytest.mark.parametrize(
    "key", ["badlabels_rejection_percentage=.2", "num_sigmas_reject_badlabels=3", "equidistant_point=10"]
)
def test_rejection_is_refused_with_the_exact_loss(key: str) -> None:
    net = Cfg.parse(f"[net]\n{key}\n").net
    check_heads([FINE], net, kind="darknet")
    with pytest.raises(TrainingError, match=rf"\[net\] {key.partition('=')[0]}: works with loss darknet only"):
        check_heads([FINE], net, kind="exact")


def rejecting(key: str, iteration: int) -> tuple[Callable[[], torch.Tensor], YoloLoss]:
    """A loss late in a training, and a way to have its gradient."""
    loss_of = YoloLoss([FINE], Cfg.parse(f"[net]\n{key}\n").net, kind="darknet", max_batches=100)
    inputs = head_inputs()[:1]

    def gradient() -> torch.Tensor:
        loss = loss_of(inputs, scene(), network_wh=(64, 64), iteration=iteration)
        return torch.autograd.grad(loss.total, inputs)[0]

    return gradient, loss_of


@pytest.mark.parametrize(
    "key", ["badlabels_rejection_percentage=.2", "num_sigmas_reject_badlabels=3", "equidistant_point=10"]
)
def test_rejection_goes_on_from_its_state(key: str) -> None:
    gradient, whole = rejecting(key, 90)
    gradient()
    again, resumed = rejecting(key, 90)
    assert resumed.state_dict() != whole.state_dict()
    resumed.load_state_dict(whole.state_dict())
    assert again().equal(gradient())
    assert resumed.state_dict() == whole.state_dict()


def test_loss_without_rejection_leaves_its_state_alone() -> None:
    loss = loss_of("darknet")
    before = loss.state_dict()
    loss(head_inputs(), scene(), network_wh=(64, 64), iteration=99)
    assert loss.state_dict() == before
