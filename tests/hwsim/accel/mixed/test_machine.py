"""What a setting costs on a machine: the same as the program at those widths, and the stored bytes counted by hand."""

import numpy as np
import pytest

from hwsim.accel import accelerator, energy
from hwsim.accel.evaluation import evaluate
from hwsim.accel.mixed.machine import price_on
from hwsim.accel.mixed.searchers.greedy import greedy
from hwsim.accel.mixed.tabulate import tabulate
from hwsim.accel.sensitivities import Group


@pytest.fixture(scope="module")
def digits(program_of):
    return program_of("digits_deit")


def test_a_uniform_setting_costs_what_the_program_does(digits):
    machine, batch = accelerator.find("loom"), 3
    table = energy.find(machine.energy)
    ends = {"patch_embed.proj": (8, 8), "head": (8, 8)}
    found = price_on(digits, machine, table, batch)({name: ends.get(name, (4, 4)) for name in digits.products})
    wanted = evaluate(digits.at(4, 4), machine, batch=batch)
    assert found["latency"] == pytest.approx(float(wanted.latency) * 1e3)
    assert found["energy"] == pytest.approx(sum(float(pj) for pj in wanted.energy(table).values()) / batch * 1e-9)


def test_the_size_is_that_of_the_stored_numbers(digits):
    price = price_on(digits, accelerator.find("loom"), energy.find("horowitz_45nm"))
    widths = dict.fromkeys(digits.products, (8, 8))
    before, after = price(widths)["size"], price(widths | {"blocks.2.mlp.fc1": (8, 3)})["size"]
    assert (before - after) * 2**20 == 48 * 192 * 5 / 8
    weights = 4 * 12 * 48 * 48 + 16 * 48 + 48 * 10
    assert before * 2**20 == weights + 4 * (117_658 + 256 - weights)


def test_narrower_is_cheaper_on_a_bit_serial_machine_and_the_table_is_near(digits):
    machine = accelerator.find("loom")
    price = price_on(digits, machine, energy.find(machine.energy))
    widths = ((8, 8), (4, 4), (2, 2))
    groups = [Group(name, (name,), widths, (0.0, 1.0, 2.0)) for name in digits.products]
    least, most = (price(dict.fromkeys(digits.products, pair)) for pair in (widths[-1], widths[0]))
    assert all(least[thing] < most[thing] for thing in most)
    budgets = {thing: (least[thing] + most[thing]) / 2 for thing in most}
    problem = tabulate(groups, price, budgets)
    found = greedy(problem)
    assert problem.excess(found) == 0
    full = price({group.name: group.choices[int(c)] for group, c in zip(groups, found, strict=True)})
    np.testing.assert_allclose(problem.cost(found), [full[thing] for thing in budgets], rtol=0.05)
