"""`python -m tests.fuzz --minutes 60`: every target by turns, from new seeds each time, until the time is over.

What fails is printed with the example that Hypothesis shrank it to, and kept in `.hypothesis`, so that it is tried
first from then on. The exit code is 1 then.
"""

import argparse
import itertools
import random
import sys
import time
import traceback
from collections import Counter

from hypothesis import HealthCheck, seed, settings
from polars.exceptions import PanicException

from tests.fuzz.targets import TARGETS

N_EXAMPLES = 200


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    minutes = parser.parse_args().minutes
    settings.register_profile("fuzz", deadline=None, suppress_health_check=list(HealthCheck), max_examples=N_EXAMPLES)
    settings.load_profile("fuzz")
    # Only once: a target has one object of settings.
    fuzzed = {name: settings(settings.get_profile("fuzz"))(target) for name, target in TARGETS.items()}
    ends, n_examples, failed = time.monotonic() + 60 * minutes, Counter(), {}
    for name in itertools.cycle(TARGETS):
        if time.monotonic() > ends:
            break
        if name in failed:
            continue
        number = random.SystemRandom().getrandbits(64)
        try:
            seed(number)(fuzzed[name])()
        # A panic of Polars is no Exception.
        except (Exception, PanicException):
            failed[name] = number
            say(f"\n== {name} failed (seed {number})\n{traceback.format_exc()}")
            if len(failed) == len(TARGETS):
                break
        n_examples[name] += N_EXAMPLES
        say(f"\r{sum(n_examples.values()):,} examples, {len(failed)} targets failed")
    for name, n in n_examples.items():
        say(f"\n{name}: {n:,} examples{', FAILED' if name in failed else ''}")
    say("\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
