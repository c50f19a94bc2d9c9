# SPDX-License-Identifier: Apache-2.0
"""Kernels beside the forwards that they replace, while a model runs."""

import time

from kernels._aside import RandomState, copied, devices_of, finish_work, own_of, twin
from kernels._compare import Difference, tensors_of


class Beside:
    """Runs kernels beside originals while a model runs. For one thread."""

    def __init__(self, layers, rtol, atol):
        self._pairs = {id(layer.module): layer.pair for layer in layers}
        self._is_aside = False
        self._overhead = 0.0  # seconds that calls so far took beyond the kernel itself
        self._warm = set()
        for layer in layers:
            layer.difference = Difference(rtol, atol)
            layer.calls, layer.kernel_seconds, layer.original_seconds = 0, 0.0, 0.0
            layer.failure = None

    def called(self, layer, args, kwargs):
        if self._is_aside:
            return layer.original_of(layer.module)(*args, **kwargs)
        begin, overhead = time.perf_counter(), self._overhead
        kernel_seconds = layer.kernel_seconds
        layer.calls += 1
        try:
            return self._compare(layer, args, kwargs)
        finally:
            inner = self._overhead - overhead
            own = layer.kernel_seconds - kernel_seconds
            self._overhead += time.perf_counter() - begin - own - inner

    def _compare(self, layer, args, kwargs):
        random = RandomState(devices_of(layer, args, kwargs))
        try:
            prepared = self._prepare(layer, args, kwargs)
        except Exception as error:
            layer.failure = layer.failure or f"its inputs cannot be copied: {_told(error)}"
            return layer.kernel(*args, **kwargs)
        self._warm_up(layer, args, kwargs, random)
        raised = None
        overhead = self._overhead
        try:
            result, seconds = self._timed(layer.kernel, args, kwargs)
        except Exception as error:
            raised = error
        else:
            layer.kernel_seconds += seconds - (self._overhead - overhead)
        after = random.now()
        random.rewind()
        expected = refused = None
        try:
            expected, seconds = self._run_aside(*prepared)
            layer.original_seconds += seconds
        except Exception as error:
            refused = _told(error)
        random.set(after)
        if raised is None:
            if refused:
                layer.failure = layer.failure or f"the original forward raised {refused}"
            else:
                self._measure(layer, (result, args, kwargs), (expected, *prepared[1:]))
            return result
        if refused:
            _note(raised, layer)
            raise raised
        layer.difference.fail(f"the kernel raised {_told(raised)}; the original did not")
        random.rewind()
        return layer.original_of(layer.module)(*args, **kwargs)

    def _prepare(self, layer, args, kwargs, original=True):
        made = twin(layer.module, originals=self._pair_of)
        forward = layer.original_of(made) if original else own_of(layer.kernel, layer.module, made)
        memo = {}
        return forward, copied(args, memo), copied(kwargs, memo)

    def _pair_of(self, module):
        return self._pairs.get(id(module))

    def _warm_up(self, layer, args, kwargs, random):
        """The first call of a kernel may compile it, and that of an original, too: neither is timed."""
        function = getattr(layer.kernel, "__func__", layer.kernel)
        if function in self._warm:
            return
        self._warm.add(function)
        for original in (False, True):
            try:
                self._run_aside(*self._prepare(layer, args, kwargs, original))
            except Exception:
                pass  # it raises again where that counts
        random.rewind()

    def _run_aside(self, forward, args, kwargs):
        self._is_aside = True
        try:
            return self._timed(forward, args, kwargs)
        finally:
            self._is_aside = False

    def _timed(self, forward, args, kwargs):
        finish_work(tensors_of(args, kwargs))
        begin = time.perf_counter()
        result = forward(*args, **kwargs)
        finish_work(tensors_of(args, kwargs, result))
        return result, time.perf_counter() - begin

    def _measure(self, layer, actual, expected):
        try:
            layer.difference.add(actual[0], expected[0], "output")
            layer.difference.add(actual[1], expected[1], "input")
            layer.difference.add(actual[2], expected[2], "input")
        except Exception as error:
            layer.failure = layer.failure or f"its results cannot be compared: {_told(error)}"


def _told(error):
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _note(error, layer):
    if hasattr(error, "add_note"):
        error.add_note(f"in layer '{layer.path}', which runs a kernel of {layer.decision.repo}")
