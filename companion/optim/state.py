"""What an optimizer may load: the state of its own kind, or nothing changes.

``torch.optim`` loads the ``state_dict`` of any optimizer with as many parameters, and the first step fails on an option
that is not there. Here the load fails, and the optimizer is left as it was.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer

# torch gives this option to the defaults of every optimizer that was unpickled or has loaded, whether it has it or not.
_EVERYWHERE = {"differentiable"}


@contextmanager
def own_state_only(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> Iterator[None]:
    """Around ``super().load_state_dict(state_dict)``: what is not this optimizer's is refused and undone.

    Raises
    ------
    ValueError
        If ``state_dict`` is no optimizer's, counts other parameters, or leaves an option of this optimizer without a
        value. Options that the optimizer's own ``__setstate__`` fills in, for states of older versions, may be missing.
    """
    name = type(optimizer).__name__
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        raise ValueError(f"load_state_dict: got what is not an optimizer's state_dict; {name} was left as it was")
    groups, state = optimizer.param_groups, optimizer.state
    try:
        yield
        for old, new in zip(groups, optimizer.param_groups, strict=True):
            missing = sorted((set(optimizer.defaults) - _EVERYWHERE) & set(old) - set(new))
            if missing:
                raise ValueError(
                    f"load_state_dict: the state is another optimizer's, it has no {', '.join(missing)}; "
                    f"{name} was left as it was"
                )
    except BaseException:
        optimizer.__setstate__({"param_groups": groups, "state": state})
        raise
