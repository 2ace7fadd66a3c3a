"""Label Studio's own settings, and our guard after everything else that looks at a request."""

from importlib.util import find_spec
from pathlib import Path

# Executed here rather than imported: half-way through, the file asks Django for settings that it has already made, and
# Django looks for them in the module that DJANGO_SETTINGS_MODULE names, which is this one.
_theirs = Path(find_spec("label_studio.core.settings.label_studio").origin)
exec(compile(_theirs.read_text(encoding="utf-8"), _theirs, "exec"))  # noqa: S102

MIDDLEWARE.append("m2v_guard.Guard")  # noqa: F821
