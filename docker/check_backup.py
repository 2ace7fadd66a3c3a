"""Refuse a backup that a newer M2V wrote, before anything of it is restored; Python alone is enough.

Usage: python3 docker/check_backup.py FOLDER FORMAT
"""

import json
import sys
import tarfile
from pathlib import Path

MARK, MAX_BYTES = "m2v.json", 1 << 12


def main() -> int:
    backup, known = Path(sys.argv[1]) / "home.tar.gz", int(sys.argv[2])
    try:
        with tarfile.open(backup) as archive:
            # It is one of the first entries, or there is none: an older M2V wrote it.
            entry = next((member for member in archive if member.name.removeprefix("./") == MARK), None)
            content = archive.extractfile(entry).read(MAX_BYTES) if entry and entry.isfile() else b'{"format": 0}'
        about = json.loads(content)
        is_known = int(about["format"]) <= known
    except (OSError, tarfile.TarError, EOFError, ValueError, KeyError, TypeError, RecursionError) as error:
        sys.stderr.write(f"{backup} cannot be read ({type(error).__name__}). Nothing was restored.\n")
        return 1
    if not is_known:
        sys.stderr.write(
            f"{backup} was written by M2V {str(about.get('version'))[:40]} (format {about['format']}); this checkout "
            f"knows format {known}. Check out that version and restore with it. Nothing was restored.\n"
        )
    return 0 if is_known else 1


if __name__ == "__main__":
    sys.exit(main())
