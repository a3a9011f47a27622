import dataclasses
from collections.abc import Callable

import pytest

from qmodels import method as methods
from qmodels import ptq
from qmodels.method import Method, Slot
from qmodels.ptq.unit import Unit
from qmodels.step import Step

UNIFORM = Slot("uniform", False)
NOTHING = Method("of_a_test", weights=UNIFORM, inputs=UNIFORM, qkv=UNIFORM, softmax=UNIFORM, biases=True)


@dataclasses.dataclass(frozen=True)
class Look(Step):
    """A step that is whatever a test wants."""

    action: Callable[[Unit], object]
    name = "look"

    def run(self, unit):
        self.action(unit)


@pytest.fixture
def run_stages(monkeypatch, tmp_path):
    """Calibrates the digits at W4A4 by a method of the stages given."""
    known = methods.find

    def run(*stages, bits="w4a4", method=NOTHING, **more):
        made = dataclasses.replace(method, stages=stages)
        monkeypatch.setattr(methods, "find", lambda n, p="deployable": made if n == made.name else known(n, p))
        more = {"images": 8, "out": tmp_path / "out", **more}
        return ptq.calibrate(f"digits_deit_{bits}", method=made.name, **more)

    return run
