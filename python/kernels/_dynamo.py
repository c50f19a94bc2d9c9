# SPDX-License-Identifier: Apache-2.0
"""torch.compile on the side: what is compiled in a block is counted and then forgotten."""

import contextlib
import inspect
import itertools
import threading
from collections import Counter

import torch
import torch._dynamo
from torch._C._dynamo.eval_frame import reset_code
from torch._dynamo import config, convert_frame, eval_frame, utils

_numbers = itertools.count()


class Record:
    """What a block has compiled: `graphs` and `frames` count up; `codes` had not been compiled before."""

    def __init__(self, backend):
        self._backend = torch._dynamo.lookup_backend(backend)
        self._thread = threading.get_ident()
        self.graphs = self.frames = 0
        self.codes = []

    def compile_graph(self, graph, example_inputs, **options):
        self.graphs += 1
        return self._backend(graph, example_inputs, **options)

    def note_frame(self, code, made):
        if threading.get_ident() != self._thread:
            return
        self.frames += 1
        if not eval_frame._debug_get_cache_entry_list(code):
            self.codes.append(code)

    def take_breaks(self):
        """Why graphs were broken since the last time, one line each."""
        found = {**utils.counters.pop("graph_break", {}), **utils.counters.pop("unimplemented", {})}
        return list(dict.fromkeys(map(one_line, found)))

    def compile(self, function, fullgraph):
        """`function`, compiled under a code of its own, so that nobody else's counts towards its limits."""

        def call(*args, **kwargs):
            return function(*args, **kwargs)

        call.__code__ = call.__code__.replace(co_name=f"compile_check_{next(_numbers)}")
        options = {"backend": self.compile_graph, "fullgraph": fullgraph}
        if "isolate_recompiles" in inspect.signature(torch.compile).parameters:
            options["isolate_recompiles"] = True
        return torch.compile(call, **options)


def one_line(reason):
    """The gist of a reason of dynamo's: its title and the first line of the explanation or, without, of the details."""
    title, *lines = [line.strip() for line in reason.strip().splitlines()] or ["unknown"]
    for label in ("Explanation:", "Developer debug context:"):
        for line in lines:
            if line.startswith(label) and line != label:
                return f"{title}: {line.removeprefix(label).strip()}"
    return title


def place(error):
    """Where dynamo gave up, as "file:line"; None when it does not say."""
    stack = getattr(error, "real_stack", None)
    return f"{stack[-1].filename}:{stack[-1].lineno}" if stack else None


def _shapes():
    """What dynamo remembers of shapes, by code."""
    from torch._dynamo import pgo

    return getattr(pgo, "_CODE_STATE", None)


@contextlib.contextmanager
def on_the_side(backend):
    """In the block torch.compile works whatever the settings; afterwards configuration, counters and caches of dynamo
    are as they were. Gives a `Record`."""
    record = Record(backend)
    counters = {name: Counter(counted) for name, counted in utils.counters.items()}
    backends, shapes = set(eval_frame.cached_backends), set(_shapes() or ())
    utils.counters.clear()
    handle = convert_frame.register_bytecode_hook(record.note_frame)
    stance = getattr(torch.compiler, "set_stance", None)
    try:
        with config.patch(disable=False, suppress_errors=False):
            with stance("default") if stance else contextlib.nullcontext():
                yield record
    finally:
        handle.remove()
        for code in record.codes:
            reset_code(code)
        utils.counters.clear()
        utils.counters.update(counters)
        for key in set(eval_frame.cached_backends) - backends:
            del eval_frame.cached_backends[key]
        for key in set(_shapes() or ()) - shapes:
            del _shapes()[key]
