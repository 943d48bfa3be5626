"""The model: one state, and one function for each event. ``events`` lists them; executors call them.

The functions are plain Python, and all of them also compile under numba.
"""

from importlib import import_module
from inspect import isfunction
from pkgutil import iter_modules

# Of the state, compiled code has functions of its own.
_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__) if module.name != "state"]
KERNELS = tuple(
    one for module in _MODULES for one in vars(module).values() if isfunction(one) and one.__module__ == module.__name__
)
"""Functions that compiled code adopts: all that the modules of this package define."""
