"""Fields of steps: each has limits, and what is beyond them is said in a line before anything is run."""

import dataclasses
import math
import re

import pytest

from hwsim import catalog
from hwsim.errors import HwsimError
from qmodels import method as methods
from qmodels.ptq import settings
from qmodels.steps.noise import Noise
from qmodels.steps.output_search import OutputSearch
from qmodels.steps.power_scales import PowerScales
from qmodels.steps.ranges import Ranges
from qmodels.steps.reconstruct import Reconstruct

STEPS = [catalog.find("qmodels.steps", name) for name in catalog.names("qmodels.steps")]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_all_numbers_and_texts_have_limits(step):
    """But truths, and the names of metrics, which the catalogue has."""
    fields = {f.name for f in dataclasses.fields(step) if type(f.default) in (int, float, str)}
    assert set(step.limits) == fields - {"metric"}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_numbers_that_are_none_and_texts_that_are_not_known_are_refused(step):
    for key, limit in step.limits.items():
        if isinstance(limit[0], str):
            line = f"{step.name}: {key} must be one of {', '.join(limit)}, got 'foo'; choose one"
            with pytest.raises(HwsimError, match=f"^{re.escape(line)}$"):
                step(**{key: "foo"})
            continue
        for value in (math.nan, math.inf):
            line = f"{step.name}: {key} must be finite, got {value}; pass --set {step.name}.{key}=VALUE"
            with pytest.raises(HwsimError, match=f"^{re.escape(line)}$"):
                step(**{key: value})
        with pytest.raises(HwsimError, match=f"^{step.name}: {key} must be .*, got {limit[0] - 1}; pass --set "):
            step(**{key: limit[0] - 1})


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (lambda: Ranges(stream="foo"), "ranges: stream must be one of float, quantized, got 'foo'; choose one"),
        (
            lambda: OutputSearch(candidates=-1),
            "output_search: candidates must be 1..10000, got -1; pass --set output_search.candidates=VALUE",
        ),
        (
            lambda: OutputSearch(low=2.0),
            "output_search: low must be above 0 and at most high, got 2.0 and 1.2; pass --set output_search.low=VALUE",
        ),
        (
            lambda: OutputSearch(pairs=0),
            "output_search: pairs must be 1 or more, got 0; pass --set output_search.pairs=VALUE",
        ),
        (lambda: Noise(means=-5), "noise: means must be 0..10000, got -5; pass --set noise.means=VALUE"),
        (
            lambda: PowerScales(high=400),
            "power_scales: high must be -16..16, got 400; pass --set power_scales.high=VALUE",
        ),
        (
            lambda: Reconstruct(batch=0),
            "reconstruct: batch must be 1 or more, got 0; pass --set reconstruct.batch=VALUE",
        ),
    ],
)
def test_each_is_said_in_a_line(made, line):
    with pytest.raises(HwsimError) as caught:
        made()
    assert str(caught.value) == line


def test_fields_that_hang_on_each_other_are_set_at_once():
    method = methods.find("ptqvit")
    found = settings.changed(method, {"output_search.low": "2", "output_search.high": "3"})
    assert (found.stages[0][0].low, found.stages[0][0].high) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("name", "key", "text", "own"),
    [
        ("ptq_minmax", "irm", "layernorm", "none"),
        ("ptq_minmax", "distillation", "1", "0.0"),
        ("ptq_minmax", "start", "mean", "search"),
        ("isvit", "crops", "4", "0"),
        ("ptq_minmax", "per_input_channel", "true", "false"),
    ],
)
def test_switches_of_training_are_refused(name, key, text, own):
    with pytest.raises(HwsimError) as caught:
        settings.resolve("digits_deit_w4a4", method=name, changes={key: text})
    assert str(caught.value) == (
        f"{name}: {key} is of training, and stays {own} in a calibration, got {text}; leave it out, or use `hwsim train`"
    )


def test_switches_of_calibrations_are_not():
    method = methods.find("isvit")
    kept = {"irm": "none", "distillation": "0", "per_input_channel": "true", "groups": "0", "per_head": "true"}
    assert settings.changed(method, kept) == dataclasses.replace(method, per_input_channel=True, per_head=True)
    assert settings.changed(methods.find("lsq"), {"irm": "layernorm"}).irm == "layernorm"


@pytest.mark.parametrize("seed", [-1, 2**31, 2**64])
def test_a_seed_has_31_bits(seed):
    line = f"digits_deit_w4a4_isvit: seed must be 0..2147483647, got {seed}; choose a smaller one"
    with pytest.raises(HwsimError, match=f"^{re.escape(line)}$"):
        settings.resolve("digits_deit_w4a4", method="isvit", seed=seed)


def test_each_field_is_told_by_its_own_name():
    told = settings.resolve("digits_deit_w4a4", method="isvit", changes={"reconstruct.iterations": "7"}).identity()
    assert told["stages"] == "channelwise, ranges, reconstruct; reparametrize; ranges, reconstruct"
    assert told["reconstruct.iterations"] == "7"
    assert told["reconstruct.stream"] == "float, quantized"
    assert told["ranges.activations"].startswith("Percentile(")
    assert told["ranges.activations"].endswith("), None")
    other = settings.resolve("digits_deit_w4a4", method="isvit").identity()
    assert {key for key in told if told[key] != other[key]} == {"reconstruct.iterations"}
