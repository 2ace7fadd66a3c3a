"""Jobs that people start by name, one for each part of the method, and the weekly look at every recorded hash."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from m2v_resources.audit import verification
from m2v_resources.store.home import home

if TYPE_CHECKING:
    # What `define_asset_job` returns has no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

# What each job makes, by the stages that are its assets' groups.
STAGES = {
    "label": ("prediction", "what models call the memes, and where that and the dataset's own label conflict"),
    "rounds": ("annotation", "rounds of people, their answers and the votes"),
    "train": ("detectors", "what detectors train on, and their checkpoints"),
    "evaluate": ("evaluation", "what detectors say of the targets' videos, and what that is worth"),
    "publish": ("publishing", "what is released"),
}
# Sundays, when a team's machine has least to do.
WEEKLY = "0 4 * * 0"
# Of problems, so many are named in a run's failure.
N_NAMED = 20


def jobs(made: Sequence[dg.AssetsDefinition]) -> "list[dg.JobDefinition | UnresolvedAssetJobDefinition]":
    """Return the jobs of a study: those of its stages that have assets, and ``verify``."""
    stages = {spec.group_name for asset in made if not asset.is_observable for spec in asset.specs}
    of_stages = [
        dg.define_asset_job(
            name,
            selection=dg.AssetSelection.groups(stage),
            description=f"Makes {what}; all of it, where `materialise_stale` and `m2v run` make what is stale.",
        )
        for name, (stage, what) in STAGES.items()
        if stage in stages
    ]
    return [*of_stages, verify]


@dg.op(name="recompute_hashes", description="Recomputes every hash that is recorded of versions, files and releases.")
def _verified(context: dg.OpExecutionContext) -> None:
    n_checked, problems = verification.verify(Path(home()))
    if problems:
        said = "\n".join(f"{problem.where}: {problem.what}." for problem in problems[:N_NAMED])
        more = f"\nand {len(problems) - N_NAMED:,} more" if len(problems) > N_NAMED else ""
        raise dg.Failure(
            f"{len(problems):,} problems in {n_checked:,} files. `m2v audit verify` lists them.\n{said}{more}",
            allow_retries=False,
        )
    context.log.info(f"{n_checked:,} files checked, 0 problems.")


@dg.job(
    name="verify",
    description="Recomputes every recorded hash, as `m2v audit verify` does; fails where one does not match.",
    executor_def=dg.in_process_executor,
)
def verify() -> None:
    """Look whether everything is still as it was recorded."""
    _verified()


def schedules() -> list[dg.ScheduleDefinition]:
    """Return what is started by the clock."""
    return [
        dg.ScheduleDefinition(
            name="verify_weekly",
            job=verify,
            cron_schedule=WEEKLY,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Starts `verify` on Sundays at 4:00 UTC.",
        )
    ]
