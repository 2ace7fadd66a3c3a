"""Shards of items, worked on by replicas of a model on every host of a Ray cluster.

A program that knows how to spread its items asks ``is_spread``; its launcher decides. It plans the shards, hands each
as JSON to whichever replica is free, and hears what came of it. A replica keeps what it finds itself, so that a host
that dies costs what it was working on and nothing is asked twice. Ray Data gives out the shards, starts replicas again
and gives a dead host's shards to others.
"""

import importlib
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from m2v.errors import ClusterError, M2VError
from m2v.programs.contract import refuse_other_code

# A shard holds at most one part in so many of what is left for each replica.
SHARE = 4

Batch = TypeVar("Batch")


class Replica(Protocol):
    """A replica of a model on some host: made from plain data, called with a shard; what it gives is plain data."""

    def __call__(self, shard: Any) -> dict[str, Any]:
        """Work on it; give counts."""
        ...


def is_spread() -> bool:
    """Whether this program's launcher wants its items spread over a cluster."""
    return os.environ.get("M2V_SPREAD") == "ray"


class Cluster:
    """The Ray cluster that this program is a job of.

    Raises:
        ClusterError: It cannot be reached, or has no host on which a replica fits.
    """

    def __init__(self) -> None:
        import ray

        self.gpus = float(os.environ.get("M2V_GPUS") or 0)
        try:
            ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError) as error:
            raise ClusterError(
                f"The Ray cluster of this job cannot be reached: {str(error).splitlines()[0]}"
            ) from error
        hosts = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fits = [
            int(min(host.get("CPU", 0), host.get("GPU", 0) / self.gpus if self.gpus else float("inf")))
            for host in hosts
        ]
        self.n_replicas = sum(fits)
        if not self.n_replicas:
            raise ClusterError(
                f"No host of the Ray cluster has a CPU and {self.gpus:g} GPUs, which a replica of the model takes. "
                "Start one that has, or say in the model's YAML what a replica takes (`gpus: 0` is a CPU alone)."
            )

    def mapped(self, replica: str, given: Any, shards: Sequence[Any]) -> Iterator[dict[str, Any]]:
        """Yield what came of each shard, as it is done.

        Args:
            replica: A ``Replica``'s class, as ``module:name``, for every host to import.
            given: Plain data that a replica is made from.

        Raises:
            ClusterError: What a replica raised, with its host's name; or Ray found no host for a shard.
        """
        from ray.data import ActorPoolStrategy, DataContext, from_items
        from ray.exceptions import RayError

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        rows = from_items([{"shard": json.dumps(shard)} for shard in shards], override_num_blocks=len(shards)).map(
            _Actor,  # pyright: ignore[reportArgumentType] (a class, of which each replica has an object)
            fn_constructor_kwargs={"replica": replica, "given": json.dumps(given)},
            compute=ActorPoolStrategy(size=min(self.n_replicas, len(shards))),
            num_cpus=1,
            num_gpus=self.gpus or None,
        )
        try:
            for row in rows.iter_rows():
                told = json.loads(row["told"])
                if "problem" in told:
                    raise ClusterError(told["problem"])
                yield told
        except RayError as error:
            raise ClusterError(f"Ray gave up: {str(error).strip().splitlines()[-1]}") from error


def host() -> str:
    """Return this host's name."""
    return socket.gethostname()


def shared(
    batches: Sequence[Batch], *, largest: int, n_items: Callable[[Batch], int], n_replicas: int = 0
) -> Iterator[list[Batch]]:
    """Shards of whole batches, the last batch first.

    Among replicas ever smaller ones, so that all of them end at about one time, as guided self-scheduling has it
    (Polychronopoulos & Kuck 1987). A plan's last batches are its longest.

    Args:
        largest: How many items a shard has at most, where no batch has more.
        n_items: Of a batch.
        n_replicas: Among whom they are shared; 0 where nobody waits for anybody.
    """
    left, shard, n = sum(map(n_items, batches)), list[Batch](), 0
    for batch in reversed(batches):
        fair = left / (SHARE * n_replicas) if n_replicas else largest
        if shard and n + n_items(batch) > min(largest, fair):
            yield shard
            left, shard, n = left - n, [], 0
        shard.append(batch)
        n += n_items(batch)
    if shard:
        yield shard


class _Actor:
    """A replica as Ray calls it: with a row."""

    def __init__(self, *, replica: str, given: str) -> None:
        self.replica: Any = None
        try:
            refuse_other_code()
            module, _, name = replica.partition(":")
            self.replica = getattr(importlib.import_module(module), name)(json.loads(given))
        except M2VError as error:
            # Told by the first shard: what a constructor raises stands in Ray's own logs.
            self.problem = error

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        try:
            if self.replica is None:
                raise self.problem
            told = self.replica(json.loads(row["shard"]))
        except M2VError as error:
            # Told, not raised: of what is raised Ray passes on the text of a traceback.
            told = {"problem": f"On the host {host()}: {error}"}
        return {"told": json.dumps(told)}
