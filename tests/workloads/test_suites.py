import dataclasses

import pytest

from hwsim.errors import UnknownName
from workloads import suites
from workloads.suites import Run, Suite


def test_a_run_has_a_name_and_a_command_line():
    run = Run("LSQ + IRM", "digits_deit_w2a2", "lsq", "deployable", (("irm", "layernorm"), ("seed", "1")), 1)
    assert run.name == "w2a2-lsq-irm-seed1"
    assert run.command() == (
        "hwsim train --workload digits_deit_w2a2 --method lsq --set irm=layernorm --set seed=1 "
        "--out w2a2-lsq-irm-seed1.safetensors"
    )
    assert "--preset paper --set" in dataclasses.replace(run, preset="paper").command()
    assert dataclasses.replace(run, label="LSQ+").name == "w2a2-lsq-plus-seed1"


def test_two_runs_of_one_name_are_refused():
    run = suites.find("ablation").runs[0]
    with pytest.raises(
        ValueError, match=r"^s: runs must have names of their own, got w32a32-float-seed0 twice; change"
    ):
        Suite("s", "", (run, run))


def test_the_ablation_has_three_seeds_of_each_and_one_budget():
    runs = suites.find("ablation").runs
    kinds = {(run.workload, run.label) for run in runs}
    assert all(sum((r.workload, r.label) == kind for r in runs) == 3 for kind in kinds)
    assert {label for workload, label in kinds if workload.endswith("w2a2")} >= {
        *("LSQ", "LSQ + IRM", "LSQ + DGD", "Q-ViT", "VVTQ", "LSQ+", "PACT", "min-max"),
        *("LSQ + affine IRM", "LSQ + frozen IRM", "Q-ViT with affine IRM"),
        *("VVTQ without crops", "VVTQ without module gradients", "VVTQ without bins"),
    }
    for bits in ("w3a3", "w4a4"):
        assert {label for workload, label in kinds if workload.endswith(bits)} == {"LSQ", "Q-ViT"}
    for key in ("images", "lr"):
        assert len({dict(run.changes)[key] for run in runs}) == 1
    for run in runs:
        assert pictures(run) == pytest.approx((300, 300 * 64), rel=0.02)
    assert all(dict(run.changes)["seed"] == str(run.seed) for run in runs)
    assert {run.label for run in runs if run.details} == {"float", "LSQ", "LSQ + IRM", "Q-ViT"}


def pictures(run):
    """Steps of a run, and pictures that it sees."""
    from qmodels.training import settings

    found = settings.resolve(run.workload, method=run.method, preset=run.preset, changes=dict(run.changes))
    recipe = found.recipe
    steps = recipe.epochs * recipe.images // recipe.batch
    return steps, steps * recipe.batch * max(1, found.method.crops)


def test_every_run_can_be_resolved_by_the_trainer():
    from qmodels.training import settings

    for run in suites.find("ablation").runs:
        chosen = settings.resolve(run.workload, method=run.method, preset=run.preset, changes=dict(run.changes))
        assert chosen.recipe.teacher == "digits_float"
        assert chosen.recipe.images == suites.IMAGES


def test_an_unknown_suite_is_answered_with_the_known_ones():
    assert suites.names() == ("ablation",)
    with pytest.raises(UnknownName, match=r"^suite: unknown name, got 'ablatoin'; known, nearest first: ablation$"):
        suites.find("ablatoin")
