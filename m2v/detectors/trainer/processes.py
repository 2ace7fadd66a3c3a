"""The processes that train together: how they join, how DeepSpeed shares the work among them."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deepspeed
import deepspeed.ops
import torch
import transformers

from m2v.detectors.trainer import hosts
from m2v.detectors.trainer.entry import Adapted
from m2v.errors import InvalidCatalog, ProgramFailed
from m2v.programs import cores

ALONE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}


@contextlib.contextmanager
def joined(out: Path) -> Iterator[None]:
    """Be one of the processes that train together, for as long as they do.

    Args:
        out: The program's folder, which all hosts must see.

    Raises:
        HostsDiffer: They run different code, or do not share the folder's disk.
    """
    join()
    with hosts.together(out):
        yield
    torch.distributed.destroy_process_group()


def join() -> None:
    """Join the group that torchrun describes, or be a group of one; share the cores."""
    for name, value in (ALONE | {"MASTER_PORT": "0"}).items():
        os.environ.setdefault(name, value)
    # torchrun gives each process one thread whatever the machine has; accelerate reads the variable once more.
    n_threads = max(1, cores.n_cores() // int(os.environ["LOCAL_WORLD_SIZE"]))
    os.environ["OMP_NUM_THREADS"] = str(n_threads)
    torch.set_num_threads(n_threads)
    # Compiled at first use on a CPU, 21 s, for a gain over gloo that a study on a laptop does not see.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="nccl" if torch.cuda.is_available() else "gloo", verbose=False)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    # Else every fresh tensor is filled with NaN first.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def size() -> int:
    """How many processes train."""
    return int(os.environ["WORLD_SIZE"])


def is_first() -> bool:
    """Whether this process writes what only one may write."""
    return os.environ["RANK"] == "0"


def share(model: Adapted) -> int:
    """How many examples each process takes at a time.

    Raises:
        InvalidCatalog: A step's examples cannot be shared evenly.
    """
    n_each = model.micro_batch_size or model.batch_size // size()
    if not n_each or model.batch_size % (size() * n_each):
        raise InvalidCatalog(
            f"models/{model.name}.yaml",
            f"batch_size {model.batch_size} is not divisible by {size()} processes"
            + (f" × micro_batch_size {n_each}." if model.micro_batch_size else "."),
        )
    return n_each


def accumulation(model: Adapted) -> int:
    """After how many such parts a step is done."""
    return model.batch_size // (size() * share(model))


def check(trainer: transformers.Trainer) -> None:
    """Make sure that the processes share the work.

    Raises:
        ProgramFailed: The Trainer believes that it is alone, and would train on the same data in each process; or
            DeepSpeed is not in charge.
    """
    seen = trainer.args.world_size, torch.distributed.get_world_size()
    if seen != (size(), size()) or trainer.deepspeed is None:
        raise ProgramFailed(
            f"{size()} processes were started, but the Trainer sees {seen[0]} and torch {seen[1]}, "
            f"{'without' if trainer.deepspeed is None else 'with'} DeepSpeed. Install the versions of constraints.txt."
        )


def zero(model: Adapted, *, is_bfloat16: bool) -> dict[str, Any]:
    """DeepSpeed's configuration: the ZeRO stage, and a torch optimiser, for which nothing must be compiled."""
    kept = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    offload = {"offload_optimizer": kept} | ({"offload_param": kept} if model.zero_stage == 3 else {})
    return {
        "train_batch_size": model.batch_size,
        "train_micro_batch_size_per_gpu": share(model),
        "gradient_accumulation_steps": accumulation(model),
        "gradient_clipping": model.max_gradient_norm,
        "bf16": {"enabled": is_bfloat16},
        "zero_optimization": {
            "stage": model.zero_stage,
            "stage3_param_persistence_threshold": 1_000,
            "stage3_prefetch_bucket_size": 1_000_000,
            "reduce_bucket_size": 1_000_000,
            **(offload if model.offload else {}),
        },
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }


def gathered(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the trainable parameters, whole, wherever ZeRO keeps their shards; every process must ask."""
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    is_sharded = any(hasattr(parameter, "ds_id") for parameter in named.values())
    with deepspeed.zero.GatheredParameters(list(named.values()), enabled=is_sharded):
        return {name: parameter.detach().cpu().clone() for name, parameter in named.items()}
