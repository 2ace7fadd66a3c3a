"""Materialises an asset by a program, in a process of its own, and says what came of it in one line of JSON.

``python -m tests.cluster.worker HOME SPEC [MODULE N_PROCESSES]``: the spec is JSON; the growing program by default.
"""

import json
import sys

import dagster as dg

from m2v.errors import M2VError
from m2v_resources.launching.programs import Programs

KEY = dg.AssetKey(["leeks", "garden"])
GROWING = {"steps": 3, "step_s": 0.0, "ends": "well"}


def main(home: str, spec: str, module: str = "tests.m2v_resources.launching.growing", n_processes: str = "0") -> None:
    manifests = []

    @dg.asset(key=KEY)
    def leeks(context: dg.AssetExecutionContext, programs: Programs) -> dg.MaterializeResult:
        whole = {**(GROWING if "growing" in module else {}), **json.loads(spec)}
        folder = programs.folder("predict", "garden", "f00d")
        manifests.append(
            programs.run(context, module=module, spec=whole, out=folder, n_processes=int(n_processes) or None)
        )
        return dg.MaterializeResult()

    said: dict[str, object] = {}
    with dg.DagsterInstance.ephemeral() as instance:
        try:
            dg.materialize([leeks], instance=instance, resources={"programs": Programs(home=home)})
        except M2VError as error:
            said["error"] = f"{type(error).__name__}: {error}"
        records = instance.fetch_observations(KEY, limit=100).records[::-1]
        found = [record.asset_observation for record in records if record.asset_observation]
        said["observations"] = [{name: value.value for name, value in each.metadata.items()} for each in found]
    sys.stdout.write(json.dumps({**said, "manifest": manifests[0] if manifests else None}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
