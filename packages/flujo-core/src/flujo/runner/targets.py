"""How pipelines are named on a command line and in records."""

import re
from pathlib import Path

__all__ = ["names_object"]

_OBJECT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)


def names_object(target: str | Path) -> bool:
    """Whether `target` is `module:name`, and no file is called so."""
    return _OBJECT.fullmatch(str(target)) is not None and not Path(target).exists()
