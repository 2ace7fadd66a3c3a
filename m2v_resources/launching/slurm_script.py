"""What a Slurm job runs."""

import shlex
import sys

from m2v_resources.launching.program import Program


def script(program: Program, *, n_nodes: int, n_here: int) -> str:
    """Return a script for sbatch: the program, or torchrun once on each node; its exit code is written last.

    Args:
        n_here: Processes on each node.
    """
    runs = shlex.join([sys.executable, "-m", program.module, *program.arguments])
    if program.n_processes:
        runs = torchrun(program, n_here=n_here, group="--standalone")
    if n_nodes > 1:
        group = f'--nnodes={n_nodes} --node-rank="$SLURM_NODEID" --master-addr="$first" --master-port="$port"'
        # Dagster listens to the first node.
        deaf = '[ "$SLURM_NODEID" = 0 ] || unset DAGSTER_PIPES_CONTEXT DAGSTER_PIPES_MESSAGES'
        one = f"{deaf}\nexec {torchrun(program, n_here=n_here, group=group)}"
        runs = ONCE_ON_EACH.format(n_nodes=n_nodes, one=shlex.quote(one))
    return SCRIPT.format(name=program.name, code=shlex.quote(str(program.out / ".slurm-")), runs=runs.strip())


def torchrun(program: Program, *, n_here: int, group: str) -> str:
    """Return a line that starts the processes of one node."""
    python, module = shlex.quote(sys.executable), shlex.join([program.module, *program.arguments])
    return f"{python} -m torch.distributed.run {group} --nproc-per-node={n_here} -m {module}"


SCRIPT = """\
#!/bin/bash
# Job {name}, made by M2V for the folder that holds this script.
set -u
code={code}"$SLURM_JOB_ID"
rm -f "$code"
{runs}
ended=$?
echo "$ended" > "$code.tmp" && mv "$code.tmp" "$code"
exit "$ended"
"""
ONCE_ON_EACH = """
export first port
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))
srun --nodes={n_nodes} --ntasks={n_nodes} --ntasks-per-node=1 --cpus-per-task="${{SLURM_CPUS_PER_TASK:-1}}" \\
    --kill-on-bad-exit=1 --export=ALL bash -c {one}
"""
