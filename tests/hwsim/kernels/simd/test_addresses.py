"""Contract of kernels that take addresses: an array lives as long as Numba sees its name, not its address."""

import ast
from pathlib import Path

import pytest

import hwsim.kernels

FOLDER = Path(hwsim.kernels.__path__[0])
FUNCTIONS = {
    f"{file.relative_to(FOLDER)}:{node.name}": node
    for file in sorted(FOLDER.rglob("*.py"))
    for node in ast.parse(file.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and ".ctypes" in ast.unparse(node)
}


def made_here(function):
    """Names of arrays that the function makes."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and "np." in ast.unparse(node.value) and "(" in ast.unparse(node.value):
            for target in node.targets:
                yield from (n.id for n in getattr(target, "elts", [target]) if isinstance(n, ast.Name))


def lives(function, name):
    """Whether each address of `name` is taken in a loop, which keeps what was made before it, or it is named at the end."""

    def takes(node):
        found = (n for n in ast.walk(node) if isinstance(n, ast.Attribute) and n.attr == "ctypes")
        return any(isinstance(n, ast.Name) and n.id == name for attribute in found for n in ast.walk(attribute.value))

    outside = any(takes(statement) for statement in function.body if not isinstance(statement, ast.For | ast.While))
    at_last = any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(function.body[-1]))
    return at_last or not outside


@pytest.mark.parametrize("function", FUNCTIONS)
def test_arrays_outlive_their_addresses(function):
    """`_product` once wrote its tiles into memory that had been given back."""
    node = FUNCTIONS[function]
    short = [name for name in made_here(node) if not lives(node, name)]
    assert not short, f"name {short} in the last statement of {function}"


def test_the_contract_sees_what_it_should():
    text = "def f(n):\n    a = np.empty(n)\n    place = a.ctypes.data\n    for i in range(n):\n        g(place)\n    "
    assert not lives(ast.parse(text).body[0], "a")
    assert lives(ast.parse(text + "h(a.size)").body[0], "a")
    assert lives(ast.parse(text.replace("    place", "    for i in range(n):\n        place")).body[0], "a")
