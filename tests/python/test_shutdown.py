# SPDX-License-Identifier: Apache-2.0
"""The end of the interpreter, and of threads, finds nothing that it trips over."""

import pytest
from kernel_support import run_python

BEGIN = """
import faulthandler, gc, sys, threading
import torch.nn as nn
import kernels
from kernels import (Mode, explain, kernelize, plan, register_kernel_mapping, unkernelize, unkernelized,
                     use_kernel_forward_from_hub, use_kernel_mapping, use_kernelized_func)

class Doubled(nn.Module):
    def forward(self, x):
        return x * 2

class Repo:
    def load(self):
        return Doubled

    def __del__(self):
        use_kernel_mapping({})

@use_kernel_forward_from_hub("function")
def function(x):
    return x

@use_kernelized_func(function)
@use_kernel_forward_from_hub("L")
class L(nn.Module):
    def forward(self, x):
        return x

mapping = {"L": {"cpu": Repo()}, "function": {"cpu": Repo()}}
register_kernel_mapping(mapping)
model = kernelize(nn.Sequential(L(), L()), mode=Mode.INFERENCE, device="cpu")
"""

ENDINGS = {
    "kernelized models": "",
    "plans": "made = plan(model, mode=Mode.INFERENCE, device='cpu', fetch=True); told = explain(model); list(made)",
    "an open block": "block = use_kernel_mapping(mapping); block.__enter__(); unkernelized(model).__enter__()",
    "an open block in a generator": """
def steps():
    with use_kernel_mapping(mapping), unkernelized(model):
        yield
running = steps()
next(running)
""",
    "an open block in a thread": """
entered = threading.Event()
def wait():
    with use_kernel_mapping(mapping):
        entered.set()
        threading.Event().wait()
threading.Thread(target=wait, daemon=True).start()
entered.wait()
""",
    "references in every direction": """
for thing in (model, mapping["L"]["cpu"], L, function):
    thing.held = (model, mapping, plan(model, mode=Mode.INFERENCE, device="cpu"), explain(model), sys.modules)
""",
    "a call at exit": """
import atexit
atexit.register(lambda: print("left", len(explain(unkernelize(model)))))
""",
    "a call while being torn down": """
class Late:
    def __del__(self, unkernelize=unkernelize, explain=explain, plan=plan, model=model):
        try:
            unkernelize(model), explain(model), plan(model, mode=Mode.INFERENCE, device="cpu")
        except Exception:
            pass
late = Late()
sys.late = Late()
""",
    "nothing of torch": "del model; gc.collect()",
}


@pytest.mark.parametrize("what", ENDINGS)
def test_the_interpreter_ends_well_with(what):
    code = BEGIN + ENDINGS[what] + "\ngc.collect()\nprint('end')\n"
    done = run_python(code, options=("-X", "faulthandler"), check=False)
    assert (done.returncode, "end" in done.stdout) == (0, True), done.stderr
    assert "Fatal" not in done.stderr and "Exception ignored" not in done.stderr
    assert ("left 3" in done.stdout or "left 2" in done.stdout) is (what == "a call at exit")


def test_without_torch_the_interpreter_ends_well():
    code = "import kernels\nb = kernels.use_kernel_mapping({'L': {'cpu': kernels.LayerRepository('o/n', 'L')}})\n"
    assert run_python(code + "b.__enter__()\n", options=("-X", "faulthandler")).stderr == ""


def test_a_forked_child_works_and_ends():
    code = """
        import os
        import torch.nn as nn
        from kernels import Mode, kernelize, register_kernel_mapping, use_kernel_forward_from_hub
        class Doubled(nn.Module):
            def forward(self, x):
                return x * 2
        class Repo:
            def load(self):
                return Doubled
        @use_kernel_forward_from_hub("L")
        class L(nn.Module):
            def forward(self, x):
                return x
        register_kernel_mapping({"L": {"cpu": Repo()}})
        child = os.fork()
        if child == 0:
            model = kernelize(L(), mode=Mode.INFERENCE, device="cpu")
            os._exit(0 if model(1) == 2 else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run_python(code).stdout == "0\n"
