"""The fine-tuning plan: its text, its layers, its stages, and what a cfg's own keys do beside it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.freeze_plan import read_freeze_plan, write_freeze_plan
from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import DarknetFormatError, OptionsError, TrainingError
from traffic_yolo.training.batch_norm import BatchNormPolicy
from traffic_yolo.training.freeze import check_frozen_unchanged, tensor_hashes
from traffic_yolo.training.layer_groups import GROUPS, group_of_layers
from traffic_yolo.training.layer_plan import LayerPlan
from traffic_yolo.training.plan import FineTunePlan

EVERYTHING = set(range(9))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("all", "all"),
        ("heads@100,all", "heads@100,all"),
        ("last:03", "last:3"),
        ("from:10+heads:2.50", "from:10+heads:2.5"),
        ("all+heads:2+backbone:.1", "all+backbone:0.1+heads:2"),
        ("all+neck:1.0", "all"),
        ("heads@5,neck_and_heads@5,all+backbone:0.1", "heads@5,neck_and_heads@5,all+backbone:0.1"),
        ("re:[0-9]_conv.*", "re:[0-9]_conv.*"),
    ],
)
def test_a_plan_has_one_canonical_text(text: str, canonical: str) -> None:
    assert str(FineTunePlan.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected all, neck_and_heads"),
        ("tail", "found 'tail'"),
        ("last:0", "found 'last:0'"),
        ("last", "found 'last'"),
        ("from:-1", "found 'from:-1'"),
        ("heads,all", "expected @<updates> in every stage but the last, found 'heads'"),
        ("heads@5,all@5", "the last stage lasts to the end: leave out its @, found 'all@5'"),
        ("heads@0,all", "expected a number of updates above 0 after @, found 'heads@0'"),
        ("all+tail:2", "with a group of backbone, neck, heads"),
        ("all+heads:0", "a factor above 0"),
        ("all+heads:11", "up to 10"),
        ("all+heads:2+heads:3", "a rate for heads twice"),
        ("heads+backbone:.1", "a rate for backbone which heads freezes"),
        ("re:(", "is no expression"),
        (",".join(["all@1"] * 21), "at most 20 stages, found 21"),
    ],
)
def test_texts_that_are_no_plan_are_refused(text: str, message: str) -> None:
    with pytest.raises(OptionsError, match=f"fine_tune_layers: .*{re.escape(message)}"):
        FineTunePlan.parse(text)


NUMBERED = st.builds("{}:{}".format, st.sampled_from(["last", "from"]), st.integers(1, 99))
LAYERS = st.sampled_from(["all", "neck_and_heads", "heads"]) | NUMBERED
FACTORS = st.dictionaries(st.sampled_from(["heads"]), st.floats(0.001, 10).map(lambda f: f"{f:.3f}"), max_size=1)


@examples(200)
@given(st.lists(st.tuples(LAYERS, FACTORS, st.integers(1, 10**6)), min_size=1, max_size=5))
def test_every_plan_reads_back_from_its_text_in_the_alphabet_of_katib(
    stages: list[tuple[str, dict[str, str], int]],
) -> None:
    texts = [layers + "".join(f"+{g}:{f}" for g, f in factors.items()) + f"@{n}" for layers, factors, n in stages]
    plan = FineTunePlan.parse(",".join(texts).rpartition("@")[0])
    assert FineTunePlan.parse(str(plan)) == plan
    assert re.fullmatch(r"[A-Za-z0-9_.:,+@-]+", str(plan))
    assert plan.starts == tuple(sum(n for *_, n in stages[:place]) for place in range(len(stages)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("last:1", {7, 8}),
        ("last:2", {6, 7, 8}),
        ("last:5", EVERYTHING),
        ("re:[67]_convolutional", {6, 7}),
        ("from:4", {4, 5, 6, 7, 8}),
    ],
)
def test_numbers_and_expressions_choose_layers(tiny_cfg: Path, text: str, expected: set[int]) -> None:
    network = Network.from_cfg(tiny_cfg)
    found = FineTunePlan.parse(text).trainable_at(network, 0)
    assert found == (expected if text != "last:5" else set(range(1, 9)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("last:7", "a count up to 6, found last:7"),
        ("from:8", "an index up to 7, found from:8"),
        ("re:x", "re:x matches no layer with weights; names are 0_convolutional to 7_convolutional"),
    ],
)
def test_layers_that_a_network_has_not_are_refused(tiny_cfg: Path, text: str, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        FineTunePlan.parse(text).trainable_at(Network.from_cfg(tiny_cfg), 0)


def test_stages_follow_each_other_and_rates_are_by_group(tiny_cfg: Path) -> None:
    network = Network.from_cfg(tiny_cfg)
    plan = FineTunePlan.parse("heads@3,all+backbone:0.1")
    assert [plan.trainable_at(network, n) for n in (0, 2, 3)] == [{3, 7}, {3, 7}, EVERYTHING]
    assert plan.rates_at(network, 2) == {}
    assert plan.rates_at(network, 3) == {0: 0.1, 1: 0.1, 2: 0.1}


def test_every_layer_is_in_one_group(tiny_cfg: Path) -> None:
    groups = group_of_layers(Network.from_cfg(tiny_cfg))
    assert set(groups) == EVERYTHING
    assert [groups[index] for index in (2, 3, 6, 7)] == [GROUPS[0], GROUPS[2], GROUPS[1], GROUPS[2]]


@pytest.fixture
def layer_plan(tiny_cfg: Path) -> Callable[..., LayerPlan]:
    """A layer plan of the tiny network under keys added to its layers."""

    def make(
        plan: str = "all", keys: str = "", *, batch_norm: str = "train", given: bool = False, burn_in: int = 0
    ) -> LayerPlan:
        cfg = Cfg.read(tiny_cfg)
        for term in keys.split():
            index, key, value = term.split(",")
            cfg.layers[int(index)].set(key, value)
        return LayerPlan(
            Network.from_cfg(cfg),
            plan=FineTunePlan.parse(plan),
            obey_freeze_keys=not given,
            batch_norm=BatchNormPolicy.parse(batch_norm),
            burn_in=burn_in,
        )

    return make


def test_keys_of_the_cfg_freeze_where_no_plan_is_given(layer_plan: Callable[..., LayerPlan]) -> None:
    plan = layer_plan(keys="1,stopbackward,1 6,dont_update,5 7,stopbackward,2")
    assert plan.at(0).trainable == {8}
    assert plan.at(2).trainable == EVERYTHING - {0, 1, 6}
    assert plan.at(5).trainable == EVERYTHING - {0, 1}
    assert plan.changes == (0, 2, 5)
    assert plan.untouched == {0, 1}
    assert layer_plan(keys="1,stopbackward,1", given=True).at(0).trainable == EVERYTHING


def test_train_only_bn_lets_statistics_follow_alone(layer_plan: Callable[..., LayerPlan]) -> None:
    states = layer_plan(keys="2,train_only_bn,1").at(0)
    assert states.trainable == EVERYTHING - {0, 1, 2}
    assert states.statistics == EVERYTHING


def test_burnin_update_waits_for_so_many_warm_ups(layer_plan: Callable[..., LayerPlan]) -> None:
    plan = layer_plan(keys="3,burnin_update,2", burn_in=10)
    assert 3 not in plan.at(19).trainable
    assert 3 in plan.at(20).trainable


def test_learning_rate_of_a_layer_multiplies_that_of_its_group(layer_plan: Callable[..., LayerPlan]) -> None:
    assert layer_plan("all+heads:2", "3,learning_rate,.5 1,learning_rate,0").at(0).factors == {3: 1.0, 7: 2.0, 1: 0.0}


@pytest.mark.parametrize(
    ("policy", "follows"), [("train", (True, True)), ("frozen", (False, False)), ("frozen:4", (False, True))]
)
def test_batch_norm_policy_says_when_statistics_follow(
    layer_plan: Callable[..., LayerPlan], policy: str, follows: tuple[bool, bool]
) -> None:
    plan = layer_plan(batch_norm=policy)
    assert tuple(bool(plan.at(n).statistics) for n in (3, 4)) == follows
    assert plan.at(0).trainable == EVERYTHING


def test_plan_that_trains_nothing_is_refused(layer_plan: Callable[..., LayerPlan]) -> None:
    with pytest.raises(OptionsError, match="no layer with weights would train; look at stopbackward"):
        layer_plan(keys="8,stopbackward,1")


def test_own_rate_below_0_is_refused(layer_plan: Callable[..., LayerPlan]) -> None:
    with pytest.raises(DarknetFormatError, match="learning_rate: expected at least 0, found '-1'"):
        layer_plan(keys="3,learning_rate,-1")


@pytest.mark.parametrize("text", ["heads", "neck_and_heads", "from:6", "heads@3,neck_and_heads@4,all"])
def test_exported_keys_freeze_what_the_plan_never_trained(
    tiny_cfg: Path, layer_plan: Callable[..., LayerPlan], text: str
) -> None:
    plan = layer_plan(text, given=True)
    cfg = write_freeze_plan(Cfg.read(tiny_cfg), plan.exported())
    weighted = {0, 1, 2, 3, 6, 7}
    assert read_freeze_plan(cfg) == plan.exported()
    for iteration in (0, 100):  # nothing waits: it did
        again = LayerPlan(
            Network.from_cfg(cfg), plan=FineTunePlan.parse("all"), obey_freeze_keys=True, batch_norm=BatchNormPolicy()
        )
        assert again.at(iteration).trainable & weighted == plan.at(100).trainable & weighted, iteration


def test_frozen_tensors_are_proved_unchanged(tiny_cfg: Path) -> None:
    network = Network.from_cfg(tiny_cfg)
    before = tensor_hashes(network, {0, 1})
    check_frozen_unchanged(before, network)
    with torch.no_grad():
        network.layers[2].conv.weight += 1  # no frozen one
        check_frozen_unchanged(before, network)
        network.layers[1].bn.running_mean[3] += 1e-7
    with pytest.raises(
        TrainingError, match=r"layer 1 was to stay as it was, and layers\.1\.bn\.running_mean has changed"
    ):
        check_frozen_unchanged(before, network)
