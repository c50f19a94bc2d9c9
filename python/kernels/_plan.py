# SPDX-License-Identifier: Apache-2.0
"""`Plan` and `Decision`: what `plan` and `explain` return."""

from dataclasses import dataclass

from kernels.layer.mode import Mode


@dataclass(frozen=True)
class Decision:
    """What was decided for modules that are decided alike.

    Attributes:
        paths (`tuple[str, ...]`): The paths of the modules within the model;
            "" is the model itself. A module that is in several places is
            listed once.
        layer_name (`str`): The name that the class gives its layer.
        module_class (`type`): The class of the modules.
        device (`str`): The type of device that was planned for.
        capability (`int` or `None`): Its capability, major * 10 + minor.
        stage (`str`): How far the decision has come: "select", "resolve",
            "settle" or "apply".
        action (`str`): "replace" or "keep".
        reason (`str`): A stable code: "mapped", "no-layer", "no-device",
            "no-compatible-properties", "no-compatible-mode",
            "mode-unsupported", "cannot-load", "condition", "excluded",
            "foreign-forward", "shared-conflict", "disabled", "not-applied",
            "not-kernelized", "numerics-differ" or "denied".
        message (`str`): The reason as a sentence.
        repo (`str` or `None`): The repository, as far as it is known.
        repo_layer (`str` or `None`): The name of the layer in it.
        repo_mode (`Mode` or `None`): The mode that it is registered for.
        commit (`str` or `None`): Its commit. Kernels in directories have none.
        variant (`str` or `None`): The build variant.
        applied (`bool`): Whether the kernel's forward is in place.

    Example:
        >>> import torch.nn as nn
        >>> from kernels import Mode, plan, use_kernel_forward_from_hub
        >>> @use_kernel_forward_from_hub("MyNorm")
        ... class MyNorm(nn.LayerNorm):
        ...     pass
        >>> decision = plan(nn.Sequential(MyNorm(2)), mode=Mode.INFERENCE)[0]
        >>> decision.paths, decision.action, decision.reason
        (('0',), 'keep', 'no-layer')
    """

    paths: tuple
    layer_name: str
    module_class: type
    device: str
    capability: int | None
    stage: str
    action: str
    reason: str
    message: str
    repo: str | None
    repo_layer: str | None
    repo_mode: Mode | None
    commit: str | None
    variant: str | None
    applied: bool


class Plan:
    """A sequence of `Decision`: what kernelize would do, or did. Made
    by `plan` and `explain`.

    Example:
        >>> import torch.nn as nn
        >>> from kernels import Mode, plan
        >>> print(plan(nn.Linear(2, 2), mode=Mode.INFERENCE))
        no extensible modules
    """

    __slots__ = ("_record", "_decisions")

    def __init__(self, record):
        self._record = record
        self._decisions = None

    def _all(self):
        if self._decisions is None:
            self._decisions = tuple(self._record)
        return self._decisions

    def __iter__(self):
        return iter(self._all())

    def __len__(self):
        return len(self._record)

    def __getitem__(self, index):
        return self._all()[index]

    def __str__(self):
        return self._record.table()

    def __repr__(self):
        return f"<kernels.Plan of {len(self)} decisions>"

    def to_json(self):
        """Returns the plan as a JSON document; docs/plan.md has the schema."""
        return self._record.to_json()

    def apply(self, model):
        """Carries the plan out.

        The model must have the extensible modules, classes and device that it
        had when the plan was made; what the plan was made for (`device`,
        `capability`) is not compared with this machine.

        Args:
            model (`torch.nn.Module`): The model, or one that is built alike.

        Returns:
            `torch.nn.Module`: `model`.

        Raises:
            ValueError: With the paths that differ, when the model has changed.
            Exception: As for `kernelize`, when a kernel cannot be loaded.
        """
        return self._record.apply(model)
