# SPDX-License-Identifier: Apache-2.0
"""Compiling something and calling it beside what is not compiled."""

import torch
from torch._dynamo import exc

from kernels._aside import RandomState, copied, twin
from kernels._compare import Difference, tensors_of
from kernels._dynamo import on_the_side, one_line, place


class Subject:
    """What is to be compiled: a call of a module."""

    def __init__(self, module, call, args, kwargs):
        self.module, self.call, self.args, self.kwargs = module, call, args, kwargs


class Trial:
    """Calls of a compiled module and of one that is not, step by step."""

    def __init__(self, subject, record, fullgraph, tolerance):
        self.subject, self.record = subject, record
        self.difference = Difference(*tolerance)
        tensors = tensors_of(subject.args, subject.kwargs)
        self._random = RandomState([*tensors, *subject.module.parameters()])
        self.batch = next((len(tensor) for tensor in tensors if tensor.dim()), None)
        eager, compiled = twin(subject.module), twin(subject.module)
        self._eager = lambda *args, **kwargs: subject.call(eager, *args, **kwargs)
        self._compiled = record.compile(
            lambda *args, **kwargs: subject.call(compiled, *args, **kwargs), fullgraph
        )

    def _run(self, function, inputs):
        memo = {}
        args, kwargs = (copied(value, memo) for value in inputs)
        self._random.rewind()
        try:
            return function(*args, **kwargs), args, kwargs
        finally:
            self._random.rewind()

    def step(self, size=None):
        """One call of each; how many frames that compiled. With `size` the
        batch is as large as that.
        """
        inputs = self.subject.args, self.subject.kwargs
        if size is not None:
            inputs = _resized(inputs, self.batch, size)
        try:
            expected = self._run(self._eager, inputs)
        except Exception as error:
            raise EagerError(_told(error)) from error
        before = self.record.frames
        actual = self._run(self._compiled, inputs)
        if not any(tensor.is_meta for tensor in tensors_of(expected)):
            for mine, other, where in zip(
                actual, expected, ("output", "input", "input"), strict=True
            ):
                self.difference.add(mine, other, where)
        return self.record.frames - before


class EagerError(Exception):
    pass


def _told(error):
    return f"{type(error).__name__}: {one_line(str(error))}"


def _resized(value, old, new):
    """`value` with the first dimension of all tensors that have `old` there made `new`, by repeating rows."""
    if isinstance(value, torch.Tensor):
        if value.dim() == 0 or len(value) != old:
            return value
        return value[torch.arange(new, device=value.device) % old]
    if isinstance(value, tuple) and not hasattr(value, "_fields") or type(value) is list:
        return type(value)(_resized(member, old, new) for member in value)
    if type(value) is dict:
        return {key: _resized(member, old, new) for key, member in value.items()}
    return value


def _measured(trial):
    found = trial.difference
    return {
        "absolute_error": found.absolute if found.count else None,
        "relative_error": found.relative if found.count else None,
        "ulps": found.ulps,
    }


def try_whole(subject, backend, tolerance):
    """What CompileResult is to say of a subject that may be one graph."""
    with on_the_side(backend) as record:
        trial = Trial(subject, record, True, tolerance)
        try:
            trial.step()
        except EagerError as error:
            return {"verdict": "failed", "message": f"it raises without being compiled: {error}"}
        except exc.BackendCompilerFailed as error:
            return {
                "verdict": "failed",
                "message": f"it is one graph, which {backend} cannot compile: {_told(error.inner_exception)}",
                "fullgraph": True,
                "graphs": record.graphs,
            }
        except exc.TorchDynamoException as error:
            first = one_line(str(error)), place(error)
        except Exception as error:
            return {"verdict": "failed", "message": f"it raises when compiled: {_told(error)}"}
        else:
            return _count_recompiles(trial)
    return _try_parts(subject, backend, tolerance, first)


def _try_parts(subject, backend, tolerance, first):
    """The same of one that is not: how many graphs there are, and why. `first` is the first reason and its place."""
    reason, where = first
    with on_the_side(backend) as record:
        trial = Trial(subject, record, False, tolerance)
        failure, recompiles = None, None
        try:
            trial.step()
            graphs, breaks = record.graphs, record.take_breaks()
            recompiles = trial.step() + trial.step()
        except Exception as error:
            graphs, breaks = record.graphs, record.take_breaks()
            failure = _told(error)
    others = [other for other in breaks if other != reason]
    breaks = (f"{reason} ({where})" if where else reason, *others)
    message = breaks[0] + (f"; and {len(others)} more" if others else "")
    if failure:
        message += f"; as several graphs it raises {failure}"
    elif trial.difference.problem:
        message += f"; as several graphs it differs: {trial.difference.problem}"
    return {
        "verdict": "breaks",
        "message": message,
        "fullgraph": False,
        "graphs": graphs,
        "breaks": breaks,
        "recompiles": recompiles,
        **_measured(trial),
    }


def _count_recompiles(trial):
    graphs, failure = trial.record.graphs, None
    recompiles, sizes, counts, untried = None, [], [], None
    try:
        recompiles = trial.step() + trial.step()
        if trial.batch:
            for size in range(trial.batch + 1, trial.batch + 4):
                counts.append(trial.step(size))
                sizes.append(size)
        else:
            untried = "no input has a batch size"
    except EagerError as error:
        untried = f"it raises without being compiled for another batch size: {error}"
    except Exception as error:
        failure = f"it raises when it is compiled again: {_told(error)}"
    verdict, message = _judge(trial.difference, failure, recompiles, counts, untried)
    return {
        "verdict": verdict,
        "message": message,
        "fullgraph": True,
        "graphs": graphs,
        "recompiles": recompiles,
        "batch_sizes": tuple(sizes),
        "batch_recompiles": tuple(counts),
        **_measured(trial),
    }


def _judge(difference, failure, recompiles, counts, untried):
    if failure:
        return "failed", failure
    if difference.problem:
        return "differs", difference.problem
    if recompiles:
        return "recompiles", f"compiled {recompiles} times again for the same shapes"
    if counts and counts[-1]:
        return "recompiles", "compiled again for each batch size"
    batch = "none for other batch sizes"
    if sum(counts):
        batch = f"{sum(counts)} until the batch size was dynamic"
    if untried:
        batch = f"other batch sizes were not tried ({untried})"
    results = "results as in eager mode" if difference.count else "no results to compare"
    return "compiles", f"one graph; no recompilation for the same shapes, {batch}; {results}"
