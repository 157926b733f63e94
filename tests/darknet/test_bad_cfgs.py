"""Damaged cfgs in the manner of the published ones: refused by one line that says where, or a network that runs."""

import random
import subprocess
import sys
import textwrap
from collections import Counter

import pytest
from cfg_mutations import NUMBERS, mutated
from darknet_fuzzing import examine_cfg
from examples import examples
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from small_cfgs import SMALL_CFGS
from spying_section import spy_on

from traffic_yolo.darknet.cfg import MAX_CFG_BYTES, MAX_LAYERS, Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.section_types import SECTION_TYPES
from traffic_yolo.darknet.show import network_table
from traffic_yolo.errors import DarknetFormatError

every_small_cfg = pytest.mark.parametrize("name", SMALL_CFGS)
NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"


@every_small_cfg
def test_the_small_networks_run(name, tmp_path):
    assert examine_cfg(SMALL_CFGS[name].encode(), tmp_path) == "ran"


def test_the_small_networks_have_every_section_type():
    assert {section.name for text in SMALL_CFGS.values() for section in Cfg.parse(text).layers} == set(SECTION_TYPES)


@pytest.mark.many(2)
@every_small_cfg
@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_damaged_cfg_is_refused_with_its_line_or_runs(name, tmp_path, seed):
    text = mutated(SMALL_CFGS[name], random.Random(seed))
    examine_cfg(text.encode("utf-8", "surrogateescape"), tmp_path)


def test_the_damage_is_of_every_kind(tmp_path):
    """Else the test above could pass because nothing gets through, or everything."""
    outcomes: Counter[str] = Counter()
    for seed in range(60):
        text = mutated(SMALL_CFGS["v4-tiny"], random.Random(seed))
        outcomes[examine_cfg(text.encode(), tmp_path)] += 1
    assert set(outcomes) >= {"no cfg", "refused", "ran"}
    assert min(outcomes["refused"], outcomes["ran"]) > 6


@every_small_cfg
def test_no_number_that_is_read_is_ever_replaced_by_a_default(name):
    spied = Cfg.parse(SMALL_CFGS[name])
    spies = spy_on(spied)
    read_sections(spied)
    tried = 0
    for index, layer in enumerate(spies):
        for key in layer.numbers & set(layer.keys()):
            for wrong in ("abc", "1e999", "--1"):
                cfg = Cfg.parse(SMALL_CFGS[name], file="spied.cfg")
                cfg.layers[index].set(key, wrong)
                with pytest.raises(
                    DarknetFormatError, match=rf"^spied.cfg line \d+ \[{layer.name}\]: {key}: expected"
                ) as info:
                    read_sections(cfg)
                assert wrong[:5] in str(info.value)
                tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[route]\nlayers=0\n", "layers: expected no reference in the first layer, found 0"),
        ("[empty]\n[route]\nlayers=1\n", "layers: expected a layer before layer 1, found 1 \\(layer 1\\)"),  # itself
        ("[empty]\n[route]\nlayers=2\n[route]\nlayers=1\n", "expected a layer before layer 1, found 2"),  # a cycle
        ("[empty]\n[shortcut]\nfrom=-2000000000\n", "from: expected a layer before layer 1, found -2000000000"),
        ("[empty]\n[sam]\nfrom=2147483647\n", "from: expected a layer before layer 1, found 2147483647"),
        ("[convolutional]\nfilters=2000000000\nsize=3\n", "is too large to be meant"),
        ("[convolutional]\nfilters=20000000\nsize=3\npad=1\nstride=16\n", "expected at most 400000000 weights in the network"),
        ("[upsample]\nstride=2147483647\n", "is too large to be meant"),
        ("[reorg3d]\nstride=2147483647\n", "stride=2147483647: expected height that 2147483647 divides, found 16"),
        ("[connected]\noutput=2147483647\n", "is too large to be meant"),
        ("[implicit]\natoms=2147483647\nfilters=2147483647\n", "is too large to be meant"),
        ("[avgpool]\n" + "[route]\nlayers=-1" + ",-1" * 999 + "\n[route]\nlayers=-1" + ",-1" * 999 + "\n[maxpool]\nantialiasing=1\n",
         "antialiasing: expected blurs of at most 10000000 values in the network, found 27000000 up to here"),
    ],
)  # fmt: skip
def test_absurd_references_and_sizes_are_refused_before_anything_is_allocated(body, message):
    with pytest.raises(DarknetFormatError, match=rf"^<cfg> line \d+ \[\w+\]: .*{message}"):
        read_sections(Cfg.parse(NET + body))


@pytest.mark.many(8)
@pytest.mark.parametrize("number", NUMBERS)
def test_any_number_anywhere_is_refused_or_runs(number, tmp_path):
    for key in ("width", "filters", "groups", "layers", "mask", "anchors", "classes", "num", "size", "stride"):
        lines = [
            f"{key}={number}" if line.startswith(f"{key}=") else line for line in SMALL_CFGS["v4-tiny"].split("\n")
        ]
        examine_cfg("\n".join(lines).encode(), tmp_path)


def test_strides_beyond_the_picture_are_shown_as_the_picture():
    pools = "[maxpool]\nsize=1\nstride=2147483647\n" * 60
    assert network_table(Cfg.parse(NET + pools)).layers[-1].network_stride_wh == (16, 16)


def test_the_largest_cfgs_are_read_and_refused_in_moments():
    with pytest.raises(DarknetFormatError, match=f"expected at most {MAX_LAYERS} layers, found {MAX_LAYERS + 1}"):
        Cfg.parse("[net]\n" + "[empty]\n" * (MAX_LAYERS + 1))
    with pytest.raises(DarknetFormatError, match=f"expected at most {MAX_CFG_BYTES} characters"):
        Cfg.parse("[net]\n" + "#" * MAX_CFG_BYTES)


MEMORY = """
    import resource, sys
    from traffic_yolo.darknet.cfg import Cfg
    from traffic_yolo.darknet.network import Network
    from traffic_yolo.darknet.network_sections import read_sections
    from traffic_yolo.darknet.surgery_partial import cut_backbone
    from traffic_yolo.errors import DarknetFormatError
    cfg, weights = sys.argv[1:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (lambda: Network.read(cfg, weights), lambda: cut_backbone(Cfg.read(cfg), weights, 1, weights + ".cut")):
        try:
            read()
        except DarknetFormatError as error:
            print(error)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.long
def test_a_small_cfg_that_asks_for_gigabytes_takes_no_memory_with_a_small_weights_file(tmp_path):
    """1.5 GB of kernels, and 52 bytes of weights: the sizes are compared before the layers are built."""
    text = SMALL_CFGS["v4-tiny"].replace("filters=8", "filters=6500").replace("filters=4\n", "filters=6500\n", 1)
    (tmp_path / "a.cfg").write_text(text)
    expected = 20 + 4 * sum(section.num_weights for section in read_sections(Cfg.parse(text)))
    assert expected > 1.5e9
    (tmp_path / "a.weights").write_bytes(bytes([0, 0, 0, 0, 2, 0, 0, 0]) + bytes(44))
    arguments = [sys.executable, "-c", textwrap.dedent(MEMORY), str(tmp_path / "a.cfg"), str(tmp_path / "a.weights")]
    printed = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(printed) == 3
    assert all(f"a.weights: expected {expected} bytes" in line and "found 52 bytes" in line for line in printed[:2])
    assert int(printed[2]) < 60  # MiB


def test_a_network_without_a_head_is_refused_before_it_is_built():
    with pytest.raises(DarknetFormatError, match=r"^<cfg>: expected at least one \[yolo\]"):
        Network(Cfg.parse(NET + "[convolutional]\nfilters=2\n"))
