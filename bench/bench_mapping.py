# SPDX-License-Identifier: Apache-2.0
"""use_kernel_mapping and register_kernel_mapping over mappings of 40 and 400 layers x 3 devices x 2 modes."""

import sys
import time

from side_by_side import PEER, serve, table, workers

ROUNDS = 7


def build_mapping(layers):
    from kernels import LayerRepository, Mode

    def repository():
        return LayerRepository("org/name", layer_name="Layer", version=1)

    return {
        f"Layer{index}": {
            device: {Mode.INFERENCE: repository(), Mode.TRAINING: repository()}
            for device in ("cuda", "rocm", "cpu")
        }
        for index in range(layers)
    }


def best_of(function, seconds=0.2):
    """The least time of one call, in microseconds."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def measure(action, layers):
    from kernels import register_kernel_mapping, use_kernel_mapping

    mapping = build_mapping(layers)
    if action == "register":
        # CUDA entries ask for the device's capability only when something is looked up.
        return {"us": best_of(lambda: register_kernel_mapping(mapping))}
    register_kernel_mapping(mapping, inherit_mapping=False)
    small = {"Other": build_mapping(1)["Layer0"]} if action == "enter" else mapping

    def enter():
        with use_kernel_mapping(small):
            pass

    return {"us": best_of(enter)}


def main():
    ours, theirs = workers(__file__)
    rows = []
    for label, action, layers, goal in (
        ("enter and exit over 40 layers", "enter", 40, "<= 10 us"),
        ("enter and exit over 400 layers", "enter", 400, "<= 10 us"),
        ("enter and exit with those 40 layers", "enter-all", 40, ""),
        ("enter and exit with those 400 layers", "enter-all", 400, ""),
        ("register 40 layers", "register", 40, "<= 100 us"),
    ):
        samples = ([], [])
        for _ in range(ROUNDS):
            for worker, results in zip((ours, theirs), samples, strict=True):
                results.append(worker.ask(action=action, layers=layers)["us"])
        mine, peer = (min(s) for s in samples)
        rows.append((label, f"{mine:.1f} us", f"{peer:.0f} us", f"{peer / mine:.0f} x", goal))
    for worker in (ours, theirs):
        worker.close()
    print(f"mappings of 3 devices x 2 modes: minimum over {ROUNDS} rounds, in turns")
    table(("", "ours", PEER, "ratio", "goal"), rows)


if __name__ == "__main__":
    serve(measure) if "--worker" in sys.argv else main()
