"""Materialises an asset whose program never ends, in a process that a test can end.

``python -m tests.m2v_resources.launching.worker HOME``
"""

import sys

import dagster as dg

from m2v_resources.launching.programs import Programs


def materialise(
    home: str, instance: dg.DagsterInstance, *, n_processes: int | None = None, **spec: object
) -> dg.ExecuteInProcessResult:
    """Run the growing program as an asset; its manifest is the asset's metadata."""

    @dg.asset(key=["leeks", "garden"])
    def leeks(context: dg.AssetExecutionContext, programs: Programs) -> dg.MaterializeResult:
        manifest = programs.run(
            context,
            module="tests.m2v_resources.launching.growing",
            spec={"steps": 3, "step_s": 0.0, "ends": "well", **spec},
            out=programs.folder("predict", "garden", "f00d"),
            n_processes=n_processes,
        )
        return dg.MaterializeResult(metadata={"n_leeks": manifest["n_leeks"]})

    return dg.materialize([leeks], instance=instance, resources={"programs": Programs(home=home)})


if __name__ == "__main__":
    with dg.DagsterInstance.ephemeral() as instance:
        materialise(sys.argv[1], instance, ends="never")
