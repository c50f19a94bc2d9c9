# SPDX-License-Identifier: Apache-2.0
"""`verify_numerics`: kernels beside the forwards that they replace, on the activations of a real forward."""

import json
from dataclasses import asdict, dataclass, replace

from kernels._table import duration, json_number, number, paths, table


@dataclass(frozen=True)
class LayerNumerics:
    """What the kernel of one module gave, beside what its original forward
    gives.

    Attributes:
        path (`str`): The path of the module within the model; "" is the model
            itself.
        layer_name (`str`): The name that the class gives its layer.
        module_class (`type`): The class of the module.
        repo, repo_layer (`str` or `None`): Where the kernel comes from.
        verdict (`str`): "same"; "differs": a result is outside the tolerance,
            of another shape, type or structure, or the kernel raised where the
            original did not; "failed": the two could not be compared;
            "not-called": the forward did not come to this module.
        message (`str`): The verdict as a sentence.
        calls (`int`): How often the module was called. The worst call counts.
        absolute_error (`float` or `None`): The largest `|kernel - original|`;
            infinite where one of the two is not finite and they are not equal.
            `None` where nothing was compared.
        relative_error (`float` or `None`): The largest `|kernel - original| /
            |original|`, over elements that are not 0 in the original.
        ulps (`float` or `None`): The largest `|kernel - original|` in units in
            the last place of the original, in the type of the output. `None`
            where that is no real floating-point type.
        where (`str` or `None`): What is furthest off in absolute terms:
            "output", "output[1]", "input[0]", ... Inputs are compared after
            the call, since layers may write to them.
        dtype (`str` or `None`): Its type, such as "bfloat16".
        rtol, atol (`float` or `None`): The tolerance that applied to it.
        kernel_seconds, original_seconds (`float`): How long all calls took
            together, in seconds.
        restored (`bool`): Whether the kernel was taken out, as `strict` asks.

    Example:
        >>> import torch, torch.nn as nn
        >>> from kernels import Mode, kernelize, verify_numerics
        >>> from kernels import builtin_mapping, use_kernel_mapping
        >>> from kernels import use_kernel_forward_from_hub
        >>> @use_kernel_forward_from_hub("LayerNorm")
        ... class Norm(nn.LayerNorm):
        ...     pass
        >>> with use_kernel_mapping(builtin_mapping()):
        ...     model = kernelize(nn.Sequential(Norm(8)), mode=Mode.INFERENCE)
        >>> [layer] = verify_numerics(model, torch.randn(2, 8)).layers
        >>> layer.path, layer.verdict, layer.calls, layer.dtype
        ('0', 'same', 1, 'float32')
    """

    path: str
    layer_name: str
    module_class: type
    repo: str | None
    repo_layer: str | None
    verdict: str
    message: str
    calls: int
    absolute_error: float | None
    relative_error: float | None
    ulps: float | None
    where: str | None
    dtype: str | None
    rtol: float | None
    atol: float | None
    kernel_seconds: float
    original_seconds: float
    restored: bool = False


class NumericsReport:
    """What `verify_numerics` found.

    `str(report)` is a table with a row for modules that are alike. `report.ok`
    says whether something was compared, no layer differs and none failed;
    `report.differing` are the paths of those that differ, which `kernelize`
    takes as `exclude`.

    Attributes:
        layers (`tuple[LayerNumerics, ...]`): One for each module whose kernel
            is in place.
        strict (`bool`): Whether these were restored.

    Example:
        >>> import torch, torch.nn as nn
        >>> from kernels import verify_numerics
        >>> report = verify_numerics(nn.Linear(2, 2), torch.randn(1, 2))
        >>> print(report, report.ok)
        no kernels in place False
    """

    __slots__ = ("layers", "strict")

    def __init__(self, layers, strict=False):
        self.layers = tuple(layers)
        self.strict = strict

    @property
    def ok(self):
        """Whether something was compared, no layer differs and none failed."""
        verdicts = {layer.verdict for layer in self.layers} - {"not-called"}
        return verdicts == {"same"}

    @property
    def differing(self):
        """The paths of the layers that differ."""
        return tuple(layer.path for layer in self.layers if layer.verdict == "differs")

    def to_json(self):
        """Returns the report as a JSON document; docs/checks.md has the
        schema.
        """
        layers = []
        for layer in self.layers:
            record = asdict(layer) | {"module_class": layer.module_class.__name__}
            for name in ("absolute_error", "relative_error", "ulps"):
                record[name] = json_number(record[name])
            layers.append(record)
        return json.dumps({"version": 1, "ok": self.ok, "strict": self.strict, "layers": layers})

    def __str__(self):
        if not self.layers:
            return "no kernels in place"
        groups = {}
        for layer in self.layers:
            key = (layer.layer_name, layer.module_class, layer.repo, layer.repo_layer)
            groups.setdefault((*key, layer.verdict, layer.restored), []).append(layer)
        headings = ("module", "layer", "kernel", "calls", "max abs", "max rel", "ulps")
        return table((*headings, "kernel time", "original", "verdict"), map(_row, groups.values()))

    def __repr__(self):
        return f"<kernels.NumericsReport of {len(self.layers)} layers, ok={self.ok}>"


def _row(group):
    group = sorted(group, key=lambda layer: -(layer.absolute_error or 0.0))
    worst = group[0]

    def largest(name):
        values = [value for layer in group if (value := getattr(layer, name)) is not None]
        return number(max(values, default=None))

    def total(name):
        return duration(sum(getattr(layer, name) for layer in group) if worst.calls else None)

    kernel = f"{worst.repo or '?'}:{worst.repo_layer}" if worst.repo_layer else worst.repo or "?"
    verdict = worst.verdict + (", restored" if worst.restored else "")
    return (
        paths([layer.path for layer in group]),
        worst.layer_name,
        kernel,
        str(sum(layer.calls for layer in group)),
        largest("absolute_error"),
        largest("relative_error"),
        largest("ulps"),
        total("kernel_seconds"),
        total("original_seconds"),
        verdict if worst.verdict == "same" else f"{verdict}: {worst.message.splitlines()[0]}",
    )


def _verdict(layer):
    found = layer.difference
    if not layer.calls:
        return "not-called", "the forward did not come to this module"
    if found.problem:
        return "differs", found.problem
    if layer.failure:
        return "failed", layer.failure
    if not found.count:
        return "failed", "its results hold no numbers to compare"
    return "same", f"all {found.count} elements are within the tolerance"


def _result(layer):
    decision, found = layer.decision, layer.difference
    verdict, message = _verdict(layer)
    known = found.dtype is not None
    return LayerNumerics(
        path=layer.path,
        layer_name=decision.layer_name,
        module_class=decision.module_class,
        repo=decision.repo,
        repo_layer=decision.repo_layer,
        verdict=verdict,
        message=message,
        calls=layer.calls,
        absolute_error=found.absolute if known else None,
        relative_error=found.relative if known else None,
        ulps=found.ulps,
        where=found.where,
        dtype=str(found.dtype).removeprefix("torch.") if known else None,
        rtol=found.rtol,
        atol=found.atol,
        kernel_seconds=layer.kernel_seconds,
        original_seconds=layer.original_seconds,
    )


def verify_numerics(model, inputs, *, rtol=None, atol=None, strict=False):
    """Runs every kernel of a model beside the forward that it replaced.

    The model runs once, as it is: with its kernels, hooks and modes, with
    gradients or without, under autocast or not, as the caller has it. At each
    layer whose kernel is in place the original forward runs, too, on copies of
    the same inputs and with the same random numbers, and the results are
    compared. The model goes on with what the kernel gave, and afterwards is as
    after any other forward. Code that `torch.compile` made runs uncompiled for
    the time. Functions of `use_kernelized_func` are layers like others.

    Args:
        model (`torch.nn.Module`): The kernelized model.
        inputs (`torch.Tensor`, `tuple`, `dict` or `Callable`): What the model
            is called with: one argument, positional arguments, keyword
            arguments, or a function that calls the model it is given.
        rtol, atol (`float`, *optional*): The tolerance: results are the same
            where `|kernel - original| <= atol + rtol * |original|` for each
            element; NaN is equal to NaN. By default that of
            `torch.testing.assert_close` for the type of the result: 1.6e-2 and
            1e-5 for bfloat16, 1e-3 and 1e-5 for float16, 1.3e-6 and 1e-5 for
            float32, 1e-7 and 1e-7 for float64; integers must be equal. One may
            be given without the other.
        strict (`bool`, *optional*, defaults to `False`): Take the kernels out
            whose results differ, all at once, so that these modules run their
            original forwards. `explain` then has the reason "numerics-differ".

    Returns:
        `NumericsReport`: For each layer the largest absolute and relative
        error, the time of both in seconds, and a verdict.

    Raises:
        TypeError: For a model or inputs of another type.
        ValueError: For a negative tolerance.
        Exception: What the model's forward raises; then nothing is reported,
            and the model runs what it ran before. A kernel that raises where
            the original does not is no error but a difference: the model goes
            on with the original.

    Example:
        >>> import torch, torch.nn as nn
        >>> from kernels import Mode, kernelize, verify_numerics
        >>> from kernels import builtin_mapping, use_kernel_mapping
        >>> from kernels import use_kernel_forward_from_hub
        >>> @use_kernel_forward_from_hub("GELU")
        ... class Gelu(nn.GELU):
        ...     pass
        >>> with use_kernel_mapping(builtin_mapping()):
        ...     model = nn.Sequential(nn.Linear(4, 4), Gelu())
        ...     model = kernelize(model, mode=Mode.INFERENCE)
        >>> report = verify_numerics(model, torch.randn(2, 4), strict=True)
        >>> report.ok, report.layers[0].where
        (True, 'output')
    """
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not value >= 0:
            raise ValueError(f"{name} must be 0 or more, not {value!r}")
    from kernels import _aside, _core
    from kernels._beside import Beside

    call = _aside.call_of(inputs)
    with _aside.one_at_a_time:
        layers = _aside.watched_layers(model)
        beside = Beside(layers, rtol, atol)
        with _aside.eager(), _aside.watching(layers, beside.called):
            call(model)
    results = [_result(layer) for layer in layers]
    if strict:
        refused = [result.verdict == "differs" for result in results]
        told = [
            (layer.module, f"the kernel of {result.repo} was taken out: {result.message}")
            for layer, result, out in zip(layers, results, refused, strict=True)
            if out
        ]
        if told:
            _core.refuse(model, told)
        results = [replace(r, restored=out) for r, out in zip(results, refused, strict=True)]
    return NumericsReport(results, strict)
