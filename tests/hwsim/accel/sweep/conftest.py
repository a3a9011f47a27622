"""Small sweeps of the digits model."""

import pytest

from hwsim.accel.sweep.run import sweep_of
from hwsim.accel.sweep.spec import read

LEAST = 'accelerator = "systolic_32x32"\nmodels = "digits_deit"\n'


@pytest.fixture
def swept(tmp_path, program_of):
    """The sweep of these lines, besides the accelerator and the model."""

    def make(text, least=LEAST, name="small"):
        path = tmp_path / f"{name}.toml"
        path.write_text(least + text)
        spec, space = read(path)
        return sweep_of(spec, space, {model: program_of(model) for model in spec.models})

    return make
