"""What the oracle tests share: how an operator is applied, and hypothesis without deadlines and without chance."""

import pytest
from hypothesis import settings

settings.register_profile("oracle", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("oracle")


@pytest.fixture(scope="session")
def apply():
    """Infer and run an operator on (value, spec) pairs; the value and spec of the result."""

    def call(op, *operands):
        specs = tuple(spec for _, spec in operands)
        out = op.infer(specs)
        return op.run(tuple(value for value, _ in operands), specs, out), out

    return call
