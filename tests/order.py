"""Which tests run when, and beside which others. docs/testing.md says where a new one belongs.

Tiers: a *unit* starts no program of ours and no server, a *program* test starts programs or runs whole studies, a
*server* test starts what users run besides (Label Studio, Ray, Slurm, a team's machine). Units run first, so that a
broken build says so at once; then the groups that take longest, so that whatever is left fills the gaps.
"""

from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

TESTS = Path(__file__).parent
# Tests of one group run one after the other, on one worker, and share its fixtures. The longest first.
GROUPS = {
    "label_studio": (
        "m2v_assets/test_rounds.py",
        "m2v_resources/annotators/test_dying.py",
        "m2v_resources/annotators/test_rounds.py",
        "m2v_resources/annotators/test_clock.py",
        "m2v_resources/annotators/test_quarantine.py",
        "m2v_resources/annotators/test_guard.py",
        "m2v_resources/annotators/test_label_studio_server.py",
        "m2v_resources/annotators/test_media.py",
        "label_studio",
    ),
    "team": ("team",),
    "vlm": ("m2v_assets/test_vlm.py",),
    "hosts": ("cluster/test_hosts.py",),
    "ray": ("cluster/test_ray.py",),
    "instruct": ("m2v/detectors/vlm_lora/test_instruct.py",),
    "published": ("m2v_assets/test_published.py",),
    "multimodal": ("m2v_assets/test_multimodal.py",),
    "robustness": ("m2v_assets/test_robustness.py",),
    "slurm": ("cluster/test_slurm.py",),
    "forgetting": ("m2v_assets/test_forgetting.py",),
    "finetune": ("m2v/detectors/text_lora/test_finetune.py",),
    "served": ("m2v/prediction/test_servers.py",),
    "videos": ("m2v/media/test_videos.py",),
    "encode": ("m2v/features/test_texts.py", "m2v/features/test_program.py"),
    "objects": ("m2v/media/test_objects.py",),
    "ui": ("m2v_assets/test_ui.py",),
    "store": ("m2v_resources/store/test_versions.py",),
}
SERVERS = {"label_studio", "team", "hosts", "ray", "slurm"}
# Programs too; their tests share nothing that takes time, so each may run anywhere.
ALONE = (
    "fuzz",
    "m2v/detectors/test_family.py",
    "m2v/prediction/test_predict.py",
    "m2v_assets",
    "m2v_resources/launching/test_programs.py",
    "m2v_resources/team/test_host.py",
    "m2v_resources/launching/test_reaper.py",
    "previous",
)


def group(path: str) -> str | None:
    """Return the group of a file below ``tests``: one of ``GROUPS``, "alone", or None for units."""
    for name, paths in {**GROUPS, "alone": ALONE}.items():
        if any(path == each or path.startswith(f"{each}/") for each in paths):
            return name
    return None


def arrange(items: list[pytest.Item]) -> None:
    """Put tests in order and mark their tier."""
    places = {None: 0, **{name: place for place, name in enumerate([*GROUPS, "alone"], 1)}}
    groups = {item: group(item.path.relative_to(TESTS).as_posix()) for item in items}
    items.sort(key=lambda item: places[groups[item]])
    for item, name in groups.items():
        item.add_marker("unit" if name is None else "server" if name in SERVERS else "program")


class Groups(LoadScopeScheduling):
    """Gives workers whole groups in order; units by file, tests that share nothing one by one."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        name = group(path.removeprefix("tests/"))
        return nodeid if name == "alone" else name or path
