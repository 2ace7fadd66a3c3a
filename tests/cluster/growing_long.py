"""Materialises an asset whose program takes eight seconds, in a process that a test can kill.

``python -m tests.cluster.growing_long HOME``
"""

import sys

import dagster as dg

from tests.m2v_resources.launching.worker import materialise

if __name__ == "__main__":
    with dg.DagsterInstance.ephemeral() as instance:
        materialise(sys.argv[1], instance, steps=8, step_s=1.0)
