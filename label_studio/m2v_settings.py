"""Label Studio's own settings, and our guard after everything else that looks at a request."""

import os
from importlib.util import find_spec
from pathlib import Path

# A secret may come as a file, which no list of processes and no `docker inspect` shows.
for _name in ("LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_USER_TOKEN", "POSTGRE_PASSWORD"):
    if _file := os.environ.get(f"{_name}_FILE"):
        try:
            os.environ[_name] = Path(_file).read_text(encoding="utf-8").strip()
        except OSError as _error:
            raise SystemExit(
                f"{_name} cannot be read from {_file}: {_error.strerror}. `make secrets` makes it."
            ) from None
        if not os.environ[_name]:
            raise SystemExit(f"{_file} is empty. Delete it; `make secrets` writes a new one.")

# Executed here rather than imported: half-way through, the file asks Django for settings that it has already made, and
# Django looks for them in the module that DJANGO_SETTINGS_MODULE names, which is this one.
_theirs = Path(find_spec("label_studio.core.settings.label_studio").origin)
exec(compile(_theirs.read_text(encoding="utf-8"), _theirs, "exec"))  # noqa: S102 # nosec B102

MIDDLEWARE.append("m2v_guard.Guard")  # noqa: F821
if _parent := os.environ.get("M2V_PARENT"):
    import m2v_parent

    m2v_parent.watch(int(_parent))
ROOT_URLCONF = "m2v_urls"
