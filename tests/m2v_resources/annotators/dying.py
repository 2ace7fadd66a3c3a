"""A platform that opens and pulls one alignment's rounds over and over until somebody kills it."""

import sys
from pathlib import Path

from m2v.errors import M2VError
from tests.m2v_resources.annotators.asking import leeks, plan, question, rounds

if __name__ == "__main__":
    home, alignment, n_items = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    found = rounds(home, alignment)
    asked = question(leeks(n_items))
    print("ready", flush=True)  # noqa: T201
    while True:
        try:
            found.open(plan(n_annotators=1), asked)
            print("opened", flush=True)  # noqa: T201
            found.pull(full=True)
            print("pulled", flush=True)  # noqa: T201
        except M2VError as error:
            print(error, flush=True)  # noqa: T201
