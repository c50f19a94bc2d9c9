# SPDX-License-Identifier: Apache-2.0
"""`compile_check`: whether layers and models can be compiled, and whether that changes what they compute."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from kernels._table import json_number, number, paths, table


@dataclass(frozen=True)
class CompileResult:
    """What compiling a layer, or a whole model, came to.

    Attributes:
        paths (`tuple[str, ...]`): The modules that it stands for, the first of
            which was compiled; "" is what was given to `compile_check`.
        module_class (`type`): Their class.
        repo, repo_layer (`str` or `None`): Where their kernel comes from, if
            one is in place.
        verdict (`str`): "compiles"; "breaks": it is not one graph; "differs":
            results are not those of eager mode; "recompiles": it is compiled
            again for the same shapes, or for each batch size; "failed": it, or
            the backend, raised; "not-called": the model's forward did not come
            to it.
        message (`str`): The verdict as a sentence.
        fullgraph (`bool` or `None`): Whether it is traced as one graph. `None`
            where that was not found out.
        graphs (`int`): The number of graphs.
        breaks (`tuple[str, ...]`): Why graphs end before the code does, one
            line each.
        recompiles (`int` or `None`): How often it was compiled again in two
            more calls with inputs like the first.
        batch_sizes (`tuple[int, ...]`): The batch sizes of further calls.
        batch_recompiles (`tuple[int, ...]`): How often it was compiled again
            for each of these. One at the first is usual: it makes the size
            dynamic.
        absolute_error, relative_error, ulps (`float` or `None`): The largest
            differences from eager mode over all calls, as in
            `LayerNumerics`.

    Example:
        >>> import torch, torch.nn as nn
        >>> from kernels import compile_check
        >>> [result] = compile_check(nn.GELU(), torch.randn(4, 8)).results
        >>> result.fullgraph, result.graphs, result.recompiles
        (True, 1, 0)
        >>> result.batch_sizes, result.batch_recompiles
        ((5, 6, 7), (1, 0, 0))
    """

    paths: tuple
    module_class: type
    repo: str | None
    repo_layer: str | None
    verdict: str
    message: str
    fullgraph: bool | None = None
    graphs: int = 0
    breaks: tuple = ()
    recompiles: int | None = None
    batch_sizes: tuple = ()
    batch_recompiles: tuple = ()
    absolute_error: float | None = None
    relative_error: float | None = None
    ulps: float | None = None


class CompileReport:
    """What `compile_check` found.

    `str(report)` is a table, with the reasons of graph breaks below it.
    `report.ok` says whether everything that was called compiles.

    Attributes:
        results (`tuple[CompileResult, ...]`): The first is for what was given,
            as a whole. For a kernelized model one follows for each kind of
            layer that runs a kernel.
        backend (`str`): What it was compiled with.

    Example:
        >>> import torch, torch.nn as nn
        >>> from kernels import compile_check
        >>> compile_check(nn.SiLU(), torch.randn(2, 8)).ok
        True
    """

    __slots__ = ("results", "backend")

    def __init__(self, results, backend):
        self.results = tuple(results)
        self.backend = backend

    @property
    def ok(self):
        """Whether everything that was called compiles."""
        return {result.verdict for result in self.results} <= {"compiles", "not-called"}

    def to_json(self):
        """Returns the report as a JSON document; docs/checks.md has the
        schema.
        """
        results = []
        for result in self.results:
            record = asdict(result) | {"module_class": result.module_class.__name__}
            for name in ("absolute_error", "relative_error", "ulps"):
                record[name] = json_number(record[name])
            results.append(record)
        return json.dumps(
            {"version": 1, "ok": self.ok, "backend": self.backend, "results": results}
        )

    def __str__(self):
        headings = ("module", "class", "kernel", "graphs", "recompiles", "max abs", "verdict")
        text = table(headings, map(_row, self.results))
        for result in self.results:
            if result.breaks:
                text += f"\n\ngraph breaks of {paths(result.paths)}:"
                text += "".join(f"\n  {reason}" for reason in result.breaks)
        return text

    def __repr__(self):
        return f"<kernels.CompileReport of {len(self.results)} results, ok={self.ok}>"


def _row(result):
    kernel = "-"
    if result.repo:
        kernel = f"{result.repo}:{result.repo_layer}" if result.repo_layer else result.repo
    counts = (result.recompiles, *result.batch_recompiles)
    return (
        paths(result.paths),
        result.module_class.__name__,
        kernel,
        str(result.graphs) if result.graphs else "-",
        "-" if result.recompiles is None else " ".join(map(str, counts)),
        number(result.absolute_error),
        f"{result.verdict}: {result.message.splitlines()[0]}",
    )


def _instance(target):
    """The module to check."""
    from torch.nn import Module

    if isinstance(target, type) and issubclass(target, Module):
        try:
            return target()
        except TypeError as error:
            raise ValueError(
                f"`{target.__name__}` cannot be made without arguments ({error}): give an instance"
            ) from error
    if not isinstance(target, Module):
        raise TypeError(
            f"expected a layer class, a torch.nn.Module or a kernelized model, not {target!r}"
        )
    return getattr(target, "_orig_mod", target)  # of what torch.compile has made already


def _call_parts(module, inputs):
    """(call, args, kwargs) of inputs as users give them."""
    from kernels import _aside

    if inputs is None:
        name = type(module).__name__
        raise ValueError(
            f"compile_check needs inputs to run `{name}`, whose forward is forward{inspect.signature(module.forward)}: "
            "give a tensor, a tuple of positional arguments, a dict of keyword arguments or a function that calls "
            "the model it is given"
        )
    whole = _aside.call_of(inputs)
    if whole is inputs:
        return inputs, (), {}
    args, kwargs = (inputs if isinstance(inputs, tuple) else (inputs,)), {}
    if isinstance(inputs, Mapping):
        args, kwargs = (), dict(inputs)
    return _plain_call, args, kwargs


def _plain_call(module, *args, **kwargs):
    return module(*args, **kwargs)


def _first_calls(module, call, args, kwargs, layers):
    """The inputs of the first call of each kind of layer, by decision."""
    from kernels import _aside

    found = {}

    def called(layer, args, kwargs):
        if id(layer.decision) not in found:
            memo = {}
            copies = _aside.copied(args, memo), _aside.copied(kwargs, memo)
            found[id(layer.decision)] = layer, *copies
        return layer.kernel(*args, **kwargs)

    memo = {}
    args, kwargs = _aside.copied(args, memo), _aside.copied(kwargs, memo)
    with _aside.eager(), _aside.watching(layers, called):
        call(module, *args, **kwargs)
    return found


def compile_check(layer_or_model, inputs=None, *, backend="aot_eager", rtol=None, atol=None):
    """Says whether a layer or a model can be compiled, and what that changes.

    It is compiled with `torch.compile` and called beside a copy that is not:
    with the same inputs three times, then with three other batch sizes. Told
    are: whether it is traced as one graph, and if not, why; how often it is
    compiled again; and whether the results are those of eager mode. Of a
    kernelized model each kind of layer that runs a kernel is also checked by
    itself, on the inputs that the model gives it.

    What is compiled and called are copies that share the parameters; hooks are
    part of it. For a kernelized model the model itself runs once before.
    Configuration, counters and caches of `torch._dynamo` are left as they
    were.

    Args:
        layer_or_model (`type` or `torch.nn.Module`): A class of layers whose
            constructor takes no arguments, an instance, or a model, kernelized
            or not, in the mode (train, eval) in which it will be compiled.
        inputs (`torch.Tensor`, `tuple`, `dict` or `Callable`): What it is
            called with: one argument, positional arguments, keyword arguments,
            or a function that calls the model it is given. Needed. They are
            copied. The batch size is the first dimension of the first
            tensor; where a function is given it is not varied.
        backend (`str`, *optional*, defaults to "aot_eager"): What compiles the
            graphs: "eager" only traces, "aot_eager" traces the backward, too;
            neither needs a compiler. "inductor" makes code, as `torch.compile`
            does by default.
        rtol, atol (`float`, *optional*): The tolerance of results, as for
            `verify_numerics`.

    Returns:
        `CompileReport`: A result for the whole, then one for each kind of
        layer that runs a kernel.

    Raises:
        ValueError: When inputs are not given, or a class cannot be made
            without arguments.
        TypeError: For anything else than a module, or for inputs of another
            type.
        Exception: What a kernelized model's forward raises.

    Example:
        >>> import torch, torch.nn as nn
        >>> from kernels import compile_check
        >>> report = compile_check(nn.GELU, torch.randn(2, 8))
        >>> report.ok, report.results[0].fullgraph
        (True, True)
    """
    from kernels import _aside

    module = _instance(layer_or_model)
    call, args, kwargs = _call_parts(module, inputs)
    with _aside.one_at_a_time:
        return CompileReport(_check_all(module, call, args, kwargs, backend, (rtol, atol)), backend)


def _check_all(module, call, args, kwargs, backend, tolerance):
    from kernels import _aside
    from kernels._trial import Subject

    layers = _aside.watched_layers(module)
    calls = _first_calls(module, call, args, kwargs, layers) if layers else {}
    itself = next((layer.decision for layer in layers if layer.module is module), None)
    whole = Subject(module, call, args, kwargs)
    results = [_check(module, ("",), itself, whole, backend, tolerance)]
    for decision in {id(layer.decision): layer.decision for layer in layers}.values():
        if decision is itself:
            continue
        subject = None
        found = decision.paths
        if id(decision) in calls:
            layer, *inputs = calls[id(decision)]
            subject = Subject(layer.module, _plain_call, *inputs)
            found = (layer.path, *(path for path in found if path != layer.path))
        results.append(_check(module, found, decision, subject, backend, tolerance))
    return results


def _check(model, found, decision, subject, backend, tolerance):
    if subject is None:
        said = {"verdict": "not-called", "message": "the model's forward did not come to it"}
    else:
        from kernels._trial import try_whole

        said = try_whole(subject, backend, tolerance)
    return CompileResult(
        paths=tuple(found),
        module_class=decision.module_class if decision else type(model),
        repo=decision.repo if decision else None,
        repo_layer=decision.repo_layer if decision else None,
        **said,
    )
