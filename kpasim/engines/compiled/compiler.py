"""Compiles the engine's loop into one object file, with numba. ``machine`` runs this in a process of its own.

numba types and lowers the plain Python of the loop; here its intermediate code is optimised once, as one program in
which nothing but the loop is visible from outside. numba alone would optimise each function together with all that it
calls, again and again. What uses the object file then needs neither numba nor Python's objects.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, lower_getattr_generic, models, register_model
from numba.np import arrayobj

from kpasim.engines import clock, counts, draws
from kpasim.engines.compiled import (
    activator,
    agenda,
    autoscaler,
    clients,
    cluster,
    ingress,
    lateness,
    layout,
    loop,
    pod,
    queues,
    reconciler,
    sharing,
)
from kpasim.engines.compiled.layout import COLUMNS, WORDS, World
from kpasim.engines.compiled.target import ENTRY, target_machine
from kpasim.engines.outcome import CHANGE, REQUEST, TICK
from kpasim.policy import KERNELS as POLICY

MODULES = (
    clock, counts, draws, layout, lateness, agenda, queues, sharing, clients, reconciler, autoscaler, activator, pod,
    cluster, ingress, loop,
)  # fmt: skip

KINDS = {
    "int": types.int64,
    "Ints": types.int64[::1],
    "IntTable": types.int64[:, ::1],
    "Floats": types.float64[::1],
    "FloatTable": types.float64[:, ::1],
    "Shorts": types.int32[::1],
    "ShortTable": types.int32[:, ::1],
    "Requests": numba.from_dtype(REQUEST)[::1],
    "Ticks": numba.from_dtype(TICK)[::1],
    "Changes": numba.from_dtype(CHANGE)[::1],
}
"""Types of ``World``'s fields in compiled code."""

FIELDS: dict[str, Any] = {field.name: KINDS[str(field.type)] for field in fields(World)}
CHECKED = bool(numba.config.BOUNDSCHECK)
"""Whether every index is checked, as tests do; shapes are then always those of the arrays."""
WORD = ir.IntType(64)
OPTIONS = {"_nrt": False, "error_model": "python" if CHECKED else "numpy"}
"""Nothing inside allocates, so nothing needs numba's reference counts, and nothing divides by zero."""


class WorldType(types.Type):
    """A ``World`` in compiled code: the address of its ``layout.words``.

    A NamedTuple of this many arrays would be copied at each call and take minutes to compile, and numba's own structref
    counts references at each access, which costs more than the loop's work.
    """

    def __init__(self) -> None:
        super().__init__(name="World")


WORLD = WorldType()


@register_model(WorldType)
class _WorldModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, WORD.as_pointer())


@infer_getattr
class _WorldAttributes(AttributeTemplate):  # type: ignore[misc]
    key = WorldType

    def generic_resolve(self, kind: Any, name: str) -> Any:
        """The type of a field."""
        return FIELDS.get(name)


@lower_getattr_generic(WorldType)  # type: ignore[untyped-decorator]
def _load_field(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
    first = WORDS * list(FIELDS).index(name)
    field = FIELDS[name]

    def load(word: int) -> Any:
        loaded = builder.load(cgutils.gep_inbounds(builder, value, first + word))
        # The words stay as they are while the loop runs, so no store can change them.
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    if field == types.int64:
        return load(0)
    shape = [load(1)]
    if field.ndim == 2:
        shape.append(WORD(COLUMNS[name]) if name in COLUMNS and not CHECKED else load(2))
    array = context.make_array(field)(context, builder)
    data = builder.inttoptr(load(0), context.get_data_type(field.dtype).as_pointer())
    size = WORD(field.dtype.bitwidth // 8)
    strides = [size] if field.ndim == 1 else [builder.mul(shape[1], size), size]
    arrayobj.populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
    return array._getvalue()


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def world_at(typing_context: Any, address: Any) -> Any:
    """The ``World`` whose words are at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], WORD.as_pointer())

    return WORLD(types.int64), generate


def _as_it_is(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
    """An index of an array: nothing in the loop counts from the end, so nothing need ask whether it does.

    Where indices are checked, one that does is an error.
    """
    return context.cast(builder, index, kind, types.intp)


arrayobj.fix_integer_index = _as_it_is

IN_PLACE = (draws.chance,)
"""What becomes part of whoever calls it: in ``lateness`` the processor then works on several numbers at once."""
for _kernel in (*POLICY, *(kernel for module in MODULES for kernel in module.KERNELS)):
    numba.extending.register_jitable(
        no_cfunc_wrapper=True, no_cpython_wrapper=True, forceinline=_kernel in IN_PLACE, **OPTIONS
    )(_kernel)


def play(address: int) -> int:
    """Play one run on the ``World`` whose words are at an address."""
    w = world_at(address)
    loop.play(w)
    return loop.finish(w)


SIGNATURE = types.int64(types.int64)


class Lowered(JITCodeLibrary):  # type: ignore[misc]
    """The intermediate code of one function, and nothing made of it yet.

    numba would link each function with all that it calls, directly or not, and make machine code of that before it
    looks at the next function, which took most of the time.
    """

    def _optimize_functions(self, ll_module: Any) -> None:
        """Optimise nothing."""

    def finalize(self) -> None:
        """Link nothing."""
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """There is no machine code; numba takes 0 for that."""
        return 0

    def add_to(self, parts: dict[Lowered, None]) -> None:
        """Add this function and all that it calls, directly or not."""
        if self not in parts:
            parts[self] = None
            for other in self._linking_libraries:
                # numba's runtime, which counts references, is compiled as usual, and not called.
                if isinstance(other, Lowered):
                    other.add_to(parts)


def checked() -> Any:
    """The loop as a function of numba's, which raises what goes wrong inside."""
    return numba.njit(SIGNATURE, **OPTIONS)(play)


def compiled() -> bytes:
    """The loop as an object file with one function, ``target.ENTRY``."""
    codegen = cpu_target.target_context.codegen()
    codegen._library_class = Lowered
    # Functions that have no machine code have no place for an environment either; only exceptions would need one.
    codegen.set_env = lambda name, environment: None
    jitted = numba.njit(SIGNATURE, no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(play)
    lowered, entry = attrgetter("library", "fndesc.llvm_func_name")(*jitted.overloads.values())
    parts: dict[Lowered, None] = {}
    lowered.add_to(parts)
    module, *others = (part._final_module for part in parts)
    for other in others:
        module.link_in(other)
    module.verify()
    for function in module.functions:
        if function.name == entry:
            function.name = ENTRY
        elif not function.is_declaration:
            function.linkage = "internal"
    machine = target_machine()
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    return bytes(machine.emit_object(module))


if __name__ == "__main__":
    gc.disable()  # the process ends before it needs the memory again, and a sixth of the time went into looking for it
    Path(sys.argv[1]).write_bytes(compiled())
