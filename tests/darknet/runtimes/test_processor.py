"""Processor flags from /proc/cpuinfo."""

import platform

import pytest

from traffic_yolo.darknet.runtimes.processor import bfloat16_flag, processor_flags, processor_name

CPUINFO = """\
processor\t: 0
model name\t: A processor
flags\t\t: fpu sse4_2 avx512f {}
power management:

processor\t: 1
flags\t\t: fpu
"""


@pytest.mark.parametrize(
    ("flags", "best"),
    [
        ("", None),
        ("avx512_bf16", "avx512_bf16"),
        ("avx512_bf16 amx_tile amx_bf16", "amx_bf16"),
        ("avx512_bf16x avx_bf16", None),
    ],
)
def test_bfloat16_is_what_the_flags_of_the_first_processor_say(tmp_path, flags, best):
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(flags))
    assert bfloat16_flag(tmp_path / "cpuinfo") == best
    assert processor_flags(tmp_path / "cpuinfo") == {"fpu", "sse4_2", "avx512f", *flags.split()}


def test_without_the_file_or_the_line_there_are_no_flags(tmp_path):
    assert processor_flags(tmp_path / "none") == frozenset()
    (tmp_path / "arm").write_text("processor : 0\nFeatures : fp asimd bf16\n")
    assert bfloat16_flag(tmp_path / "arm") is None


def test_a_processor_has_its_name_or_else_its_kind(tmp_path):
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    assert processor_name(tmp_path / "cpuinfo") == "A processor"
    (tmp_path / "arm").write_text("processor : 0\nFeatures : fp asimd bf16\n")
    assert processor_name(tmp_path / "arm") == processor_name(tmp_path / "none") == platform.machine()
