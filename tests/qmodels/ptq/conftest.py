import pytest

from qmodels import method as methods
from qmodels.method import Method, Slot
from qmodels.ptq import engine, settings
from qmodels.steps.ranges import Ranges

UNIFORM, SYMMETRIC = Slot("uniform", False), Slot("uniform", True)


def least_squares(x, quantizer):
    quantizer.initialise(x)


PLAIN = Method(
    name="plain",
    weights=SYMMETRIC,
    inputs=UNIFORM,
    qkv=UNIFORM,
    softmax=UNIFORM,
    stages=((Ranges(least_squares, least_squares),),),
)


@pytest.fixture
def method_of(monkeypatch):
    """A method made for a test, known by its name as long as the test runs."""
    known = methods.find

    def add(method):
        monkeypatch.setattr(methods, "find", lambda n, p="deployable": method if n == method.name else known(n, p))
        return method

    return add


@pytest.fixture
def job(tmp_path, method_of):
    """An engine's job of PLAIN on the digits at W4A4, and the streams of its first units made by hand."""
    method_of(PLAIN)
    chosen = settings.resolve("digits_deit_w4a4", method="plain", images=6, batch=4)
    return engine._Job(chosen, tmp_path / "out", None, None, {}, lambda p: None)
