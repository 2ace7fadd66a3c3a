"""A program that takes and frees tensors, in its first thread and in others; it writes how many page faults it took."""

import resource
import threading

import torch

from m2v.programs import contract


def main() -> None:
    _, out = contract.arguments(__doc__ or "")
    work()
    before = n_faults()
    work()
    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    (out / "faults").write_text(str(n_faults() - before), encoding="utf-8")


def work() -> None:
    for _ in range(20):
        torch.ones(20_000_000)


def n_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    main()
