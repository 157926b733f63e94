"""Ends a build whose torch is of another flavour than the image is to be: `check_flavour.py cpu` or `cuda`."""

import sys

import torch


def complaint(wanted: str, cuda: str | None) -> str | None:
    """What is wrong with a torch that was built for CUDA release `cuda` (None: for CPUs); None where nothing is."""
    if wanted not in ("cpu", "cuda"):
        return f"FLAVOUR: expected cpu or cuda, found {wanted!r}"
    found = "cuda" if cuda else "cpu"
    if wanted == found:
        return None
    built = f"one for CUDA {cuda}" if cuda else "one without CUDA"
    index = "CPU" if wanted == "cpu" else "CUDA"
    return (
        f"FLAVOUR={wanted}: pip's index had another torch, {built}; "
        f"give PyTorch's {index} index: --build-arg TORCH_INDEX_URL=…"
    )


if __name__ == "__main__":
    sys.exit(complaint(sys.argv[1], torch.version.cuda))
