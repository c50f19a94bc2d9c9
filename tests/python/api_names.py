# SPDX-License-Identifier: Apache-2.0
"""Prints what the installed package `kernels` offers: run under this package and under upstream's.

{"names": {module: [names that are made there and public]}, "signatures": {module.name: [[parameter, default], ...]}};
the signatures are of the functions and classes among the names that are given as a list in JSON.
"""

import importlib
import inspect
import json
import pkgutil
import sys
import warnings


def public_names(module):
    listed = getattr(module, "__all__", None)
    if listed is None:
        moved = getattr(module, "_MOVED", ())
        made = [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__
        ]
        listed = [*made, *moved]
    return sorted(name for name in listed if not name.startswith("_"))


def signature(name):
    module, _, attribute = name.rpartition(".")
    value = getattr(importlib.import_module(module), attribute)
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    return [
        [each.name, "required" if each.default is each.empty else repr(each.default)]
        for each in parameters
    ]


def main():
    import kernels

    warnings.simplefilter("ignore")
    modules = ["kernels"] + sorted(
        info.name
        for info in pkgutil.walk_packages(kernels.__path__, "kernels.")
        if "builtin" not in info.name and "libkernels" not in info.name
    )
    names = {}
    for name in modules:
        try:
            names[name] = public_names(importlib.import_module(name))
        except ImportError:  # a part that needs packages which are not installed here
            names[name] = []
    wanted = json.loads(sys.argv[1])
    print(json.dumps({"names": names, "signatures": {name: signature(name) for name in wanted}}))


if __name__ == "__main__":
    main()
