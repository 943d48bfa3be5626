"""Compiles the engine's loop into one object file, with numba. ``machine`` runs this in a process of its own.

numba types and lowers the plain Python of the loop; here its intermediate code is optimised once, as one program in
which nothing but the loop is visible from outside. numba alone would optimise each function together with all that it
calls, again and again. What uses the object file then needs neither numba nor Python's objects.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils, types, typing
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target
from numba.core.typing.templates import AttributeTemplate
from numba.cpython.unsafe.numbers import leading_zeros, trailing_zeros
from numba.extending import infer_getattr, lower_getattr_generic, lower_setattr_generic, models, register_model
from numba.np import arrayobj

from kpasim.engines import clock, counts, draws
from kpasim.engines.compiled import arrays, event_queue, loop
from kpasim.engines.compiled.arrays import ALL, PLACES
from kpasim.engines.compiled.target import ENTRY, target_machine
from kpasim.engines.model import KERNELS as MODEL
from kpasim.engines.model import bits, events, kpa, state
from kpasim.policy.kernels import KERNELS as POLICY

CHECKED = bool(numba.config.BOUNDSCHECK)
"""Whether every index is checked, as tests do; shapes are then always those of the arrays."""
WORD = ir.IntType(64)
OPTIONS = {"_nrt": False, "error_model": "python" if CHECKED else "numpy"}
"""Nothing inside allocates, so nothing needs numba's reference counts, and nothing divides by zero."""
JIT = {"no_cfunc_wrapper": True, "no_cpython_wrapper": True, **OPTIONS}


class StateType(types.Type):
    """A ``Simulation`` in compiled code, or its params, draws or supply: the address of the words of ``Arrays``.

    A NamedTuple of this many arrays would be copied at each call and take minutes to compile, and numba's own structref
    counts references at each access, which costs more than the loop's work.
    """

    def __init__(self, prefix: str = "") -> None:
        super().__init__(name=f"Simulation({prefix})")
        self.prefix = prefix


SIMULATION = StateType()
PARTS = {name: StateType(f"{name}.") for name in ("params", "draws", "supply")}


def _record(kind: Any) -> Any:
    return numba.from_dtype(arrays.dtype_of(kind))


RECORDS = {_record(field.kind): field.kind for field in state.FIELDS.values() if field.is_entity}
"""Entities by their types in compiled code."""
CORE = _record(state.Core)


def _type_of(field: state.Field) -> Any:
    """The type of a field in compiled code."""
    kind = numba.from_dtype(arrays.dtype_of(field.kind))
    return types.Array(kind, len(field.size), "C") if field.size else kind


TYPES = {name: _type_of(field) for name, field in ALL.items()}


@register_model(StateType)
class _StateModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, WORD.as_pointer())


@infer_getattr
class _StateAttributes(AttributeTemplate):  # type: ignore[misc]
    key = StateType

    def generic_resolve(self, kind: Any, name: str) -> Any:
        """The type of an attribute."""
        if not kind.prefix and name in PARTS:
            return PARTS[name]
        if not kind.prefix and name in CORE.fields:
            return CORE.typeof(name)
        return TYPES.get(kind.prefix + name)


@lower_getattr_generic(StateType)  # type: ignore[untyped-decorator]
def _load(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
    if not kind.prefix and name in PARTS:
        return value
    if not kind.prefix and name in CORE.fields:
        core = _load(context, builder, kind, value, "core")
        return context.get_getattr(CORE, name)(context, builder, CORE, core, name)
    return _field(context, builder, value, kind.prefix + name)


@lower_setattr_generic(StateType)  # type: ignore[untyped-decorator]
def _store(context: Any, builder: Any, signature: Any, arguments: Any, name: str) -> Any:
    value, new = arguments
    core = _field(context, builder, value, "core")
    return context.get_setattr(name, typing.signature(types.void, CORE, signature.args[1]))(builder, (core, new))


def _field(context: Any, builder: Any, value: Any, path: str) -> Any:
    first = PLACES[path]
    kind = TYPES[path]
    if isinstance(kind, types.Record):
        return builder.bitcast(cgutils.gep_inbounds(builder, value, first), context.get_value_type(kind))

    def load(word: int) -> Any:
        loaded = builder.load(cgutils.gep_inbounds(builder, value, first + word))
        # The words stay as they are while the loop runs, so no store can change them.
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    if kind == types.int64:
        return load(0)
    if kind == types.float64:
        return builder.bitcast(load(0), ir.DoubleType())
    shape = [load(1)]
    if kind.ndim == 2:
        columns = ALL[path].size[1]
        shape.append(WORD(columns) if isinstance(columns, int) and not CHECKED else load(2))
    array = context.make_array(kind)(context, builder)
    data = builder.inttoptr(load(0), context.get_data_type(kind.dtype).as_pointer())
    size = WORD(kind.dtype.bitwidth // 8)
    strides = [size] if kind.ndim == 1 else [builder.mul(shape[1], size), size]
    arrayobj.populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
    return array._getvalue()


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def state_at(typing_context: Any, address: Any) -> Any:
    """The ``Simulation`` whose words are at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], WORD.as_pointer())

    return SIMULATION(types.int64), generate


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _renewed(typing_context: Any, record: Any) -> Any:
    """Write the numbers of a new entity into a record."""
    new = RECORDS[record]()

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for name, field in record.members:
            number = context.get_constant(field, getattr(new, name))
            context.get_setattr(name, typing.signature(types.void, record, field))(builder, (arguments[0], number))
        return context.get_dummy_value()

    return types.void(record), generate


@numba.extending.overload(state.renew, jit_options=JIT, strict=False)  # type: ignore[untyped-decorator]
def _renew(entity: Any) -> Any:
    return lambda entity: _renewed(entity)


@numba.extending.overload(bits.lowest, jit_options=JIT, strict=False)  # type: ignore[untyped-decorator]
def _lowest(word: Any) -> Any:
    return lambda word: trailing_zeros(word)


@numba.extending.overload(bits.highest, jit_options=JIT, strict=False)  # type: ignore[untyped-decorator]
def _highest(word: Any) -> Any:
    return lambda word: 63 - leading_zeros(word)


def _method(name: str) -> Callable[[Any], Any]:
    """A method of ``Simulation`` in compiled code."""
    decorator: Callable[[Any], Any] = numba.extending.overload_method(StateType, name, jit_options=JIT, strict=False)
    return decorator


@_method("schedule")
def _schedule(sim: Any, time_ns: Any, kind: Any, entity: Any) -> Any:
    return lambda sim, time_ns, kind, entity: event_queue.schedule(sim, time_ns, kind, entity)


@_method("wake")
def _wake(sim: Any, time_ns: Any, kind: Any, entity: Any) -> Any:
    return lambda sim, time_ns, kind, entity: event_queue.wake(sim, time_ns, kind, entity)


@_method("comes_next")
def _comes_next(sim: Any, time_ns: Any) -> Any:
    return lambda sim, time_ns: event_queue.comes_next(sim, time_ns)


@_method("is_quiet_now")
def _is_quiet_now(sim: Any) -> Any:
    return lambda sim: event_queue.is_quiet_now(sim)


@_method("start_autoscaler")
def _start_autoscaler(sim: Any) -> Any:
    return lambda sim: kpa.start(sim)


@_method("observe")
def _observe(sim: Any, concurrency: Any, requests: Any) -> Any:
    return lambda sim, concurrency, requests: kpa.observe(sim, concurrency, requests)


@_method("decide")
def _decide(sim: Any, reachable: Any) -> Any:
    return lambda sim, reachable: kpa.decide(sim, reachable)


@_method("decides_after")
def _decides_after(sim: Any, time_ns: Any) -> Any:
    return lambda sim, time_ns: kpa.decides_after(sim, time_ns)


def _as_it_is(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
    """An index of an array: nothing in the loop counts from the end, so nothing need ask whether it does.

    Where indices are checked, one that does is an error.
    """
    return context.cast(builder, index, kind, types.intp)


arrayobj.fix_integer_index = _as_it_is

APART = (
    "ahead", "hpa", "keda", "keda_http", "metrics", "on_poll", "set_up",
    "publish", "pass_on", "withdraw", "break_off", "dispatch", "client_of", "choose_of_two", "choose_by_chance",
    "fetch", "put_off", "_split",
)  # fmt: skip
"""Modules and functions that stay out of the code of their callers, which seldom call them and are the smaller for it:
all of other autoscalers is behind the first ones."""
IN_PLACE = (draws.chance,)
"""What becomes part of whoever calls it: in ``jitter`` the processor then works on several numbers at once."""
NATIVE = (bits.lowest, bits.highest)
"""What the processor has an instruction for."""
OWN = tuple(kernel for module in (clock, counts, draws, event_queue, arrays, loop) for kernel in module.KERNELS)
for _kernel in (one for one in (*POLICY, *MODEL, *OWN) if one not in NATIVE):
    numba.extending.register_jitable(
        no_cfunc_wrapper=True, no_cpython_wrapper=True, forceinline=_kernel in IN_PLACE, **OPTIONS
    )(_kernel)


def play(address: int) -> int:
    """Run one replication on the ``Simulation`` whose words are at an address."""
    sim = state_at(address)
    loop.run(sim)
    return events.finish(sim)


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


def _without_errors(code: str) -> str:
    """The same program where every function returns, as all do: numba looks after each call whether it raised an error.

    The optimiser cannot see by itself that none does, since some of the functions call each other in a circle. Nor does
    anybody read the ``None`` that a function without a result would leave behind.
    """
    code = re.sub(r"^ +store ptr null, ptr %retptr, align 8\n", "", code, flags=re.MULTILINE)
    code = re.sub(r"^ +ret i32 1$", "  call void @llvm.trap()\n  unreachable", code, flags=re.MULTILINE)
    return f"{code}\ndeclare void @llvm.trap()\n"


def compiled(level: str = "") -> bytes:
    """The loop as an object file with one function, ``target.ENTRY``; see ``target.target_machine``."""
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
    module = llvm.parse_assembly(_without_errors(str(module)))
    module.verify()
    for function in module.functions:
        if function.name == entry:
            function.name = ENTRY
        elif not function.is_declaration:
            function.linkage = "internal"
            if any(f"{len(name)}{name}" in function.name for name in APART):
                function.add_function_attribute("noinline")
    machine = target_machine(level)
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    return bytes(machine.emit_object(module))


if __name__ == "__main__":
    gc.disable()  # the process ends before it needs the memory again, and a sixth of the time went into looking for it
    Path(sys.argv[1]).write_bytes(compiled(*sys.argv[2:]))
