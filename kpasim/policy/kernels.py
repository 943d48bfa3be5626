"""Functions of the policy that also compile under numba (``numba.extending.register_jitable``)."""

from importlib import import_module
from inspect import isfunction
from pkgutil import iter_modules

from kpasim import policy
from kpasim.policy import schedule, windows

_MODULES = [
    import_module(f"{policy.__name__}.{module.name}")
    for module in iter_modules(policy.__path__)
    if module.name not in {"kernels", "targets"}
]
_PLAIN = (windows.smoothing_coefficient, schedule.changes)
"""Functions that no engine calls while it runs, as are private ones and those that make new memory."""
KERNELS = tuple(
    one
    for module in _MODULES
    for name, one in vars(module).items()
    if isfunction(one)
    and one.__module__ == module.__name__
    and not name.startswith(("_", "new_"))
    and one not in _PLAIN
)
"""Functions that a compiled engine adopts."""
