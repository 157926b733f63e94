"""What both fuzzers tell libFuzzer: seeds, a dictionary, and the limits past which an input counts as a finding."""

from collections.abc import Iterable, Mapping
from pathlib import Path

# PyTorch alone takes 0.4 GB. No input of 64 KB justifies as much again, nor ten seconds.
LIMITS = ("-rss_limit_mb=1000", "-malloc_limit_mb=300", "-timeout=10", "-max_len=65536", "-print_final_stats=1")


def libfuzzer_arguments(argv: list[str], seeds: Mapping[str, bytes], words: Iterable[str]) -> list[str]:
    """The arguments with seeds and dictionary written to the corpus folder, which must be the first of them."""
    corpus = Path(argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (corpus / f"seed-{name}").write_bytes(data)
    dictionary = corpus.with_name(f"{corpus.name}.dict")
    dictionary.write_text("".join(f'"{word}"\n' for word in words))
    given = {argument.partition("=")[0] for argument in argv}
    limits = [limit for limit in LIMITS if limit.partition("=")[0] not in given]
    return [argv[0], str(corpus), *argv[2:], *limits, f"-dict={dictionary}", f"-artifact_prefix={corpus.parent}/"]
