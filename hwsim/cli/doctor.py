"""`hwsim doctor`: the state of the installation."""

from hwsim import console
from hwsim.cli._options import Json
from hwsim.cli._output import versions

EXAMPLE = "hwsim doctor"


def doctor(json: Json = None) -> None:
    """Versions, how torchvision was loaded, the CPU, and whether the kernels compile and compute exactly."""
    import os
    import platform

    from hwsim.kernels.check import check_kernels

    facts = {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    facts.update((record.node, str(record.value)) for record in versions())
    try:
        from qmodels import torchvision_shim

        facts["torchvision"] = torchvision_shim.STATUS
    except ImportError as error:
        facts["torchvision"] = f"not installed ({error.name})"
    facts.update(check_kernels())
    if json != "-":
        for key, value in facts.items():
            console.say(f"{key:14} {value}")
    if json:
        console.write_json(json, (), facts)
