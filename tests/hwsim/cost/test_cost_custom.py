from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim.cost.conventions.bireal_ladder import BirealLadder
from hwsim.cost.conventions.size_hawq import SizeHawq
from hwsim.cost.elementwise import Elementwise
from hwsim.cost.rounding import Rounding
from hwsim.cost.table import entries, resolve, tally
from hwsim.cost.work import with_bits, work
from hwsim.errors import BadFile, HwsimError, UnknownName
from hwsim.graph import Graph

File = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    """Writes a TOML file and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


TWINS = {
    "macs": 'formula = "macs"\nunit = "MAC"',
    "bitops_wa": 'formula = "macs * w * a"',
    "bops_baskin": 'formula = "batch * m * n * k * (w * a + w + a + log2(k))"',
    "bitfusion": 'formula = "macs / (floor(8 / max(a, 2)) * floor(8 / max(w, 2)))"\nbits = [1, 2, 3, 4, 5, 6, 7, 8]',
    "linear_bits": 'formula = "macs * max(w, a) / 32"',
    "xnor_conv": 'formula = "macs / 64 + batch * m * n if a == 1 and w == 1 else macs"\nbits = [1, 32]',
    "bireal_ladder": (
        'formula = "macs * (1 if max(a, w) == 32 else 1 / 4 if max(a, w) == 8 else 2 ** (max(a, w) - 7))"\n'
        "bits = [1, 2, 3, 4, 8, 32]\nends_bits = 32\n[elementwise]\nlayernorm = 1"
    ),
    "swin_flops": 'formula = "macs"\nunit = "FLOP"\nelementwise = "swin"',
    "flops": 'formula = "macs"\nflops_per_mac = 2',
    "size_bidet": 'kind = "size"\nformula = "(w * weights + rest * parameters) / 8"',
    "size_tervit": 'kind = "size"\nformula = "(w * weights + rest * parameters) / 8"\nends_bits = 8\nrest_bits = 8',
    "size_hawq": (
        'kind = "size"\nformula = "w * weights / 8"\nends_bits = 8\n'
        '[rounding]\nhow = "round"\ndecimals = 1\nprefix = "Mi"'
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_shipped_rule_as_a_file(name: str, file: File, block: Graph) -> None:
    """Each rule written again, as a user would, gives the same on each row at each width that it defines."""
    shipped, mine = resolve(name), resolve(str(file(TWINS[name])))
    assert (mine.name, mine.status, mine.bits) == ("mine", "user", tuple(sorted(shipped.bits)))
    assert mine.entry(123_456_789) == shipped.entry(123_456_789)
    for bits in shipped.bits or (1, 3, 4, 7, 8, 32):
        rows = with_bits(work(block), bits, bits, bits)
        assert tally(rows, mine).amounts == pytest.approx(tally(rows, shipped).amounts, rel=1e-15)


def test_a_base_with_other_options(file: File) -> None:
    path = file('base = "bireal_ladder"\nname = "ours"\nends_bits = 8\nrounding = "round:1:G"\n[elementwise]\ngelu = 8')
    mine = resolve(str(path), {"attention_bits": "4"})
    wanted = BirealLadder(
        ends_bits=8,
        attention_bits=4,
        rounding=Rounding("round", 1, "G"),
        elementwise=Elementwise(layernorm=1, gelu=8),
    )
    assert (mine, mine.name, mine.status, mine.unit) == (wanted, "ours", "printed", "OP")
    assert resolve(str(file('base = "size_hawq"\ncount_rest = true\n[rounding]\ndecimals = 3'))) == SizeHawq(
        count_rest=True, rounding=Rounding("round", 3, "Mi")
    )


def test_what_a_file_says_of_itself(file: File, block: Graph) -> None:
    text = 'formula = "macs"\nname = "ours"\nunit = "GOP"\nstatus = "fitted"\nsource = "a measurement"\n'
    table = tally(block, resolve(str(file(text))))
    assert (table.name, table.unit) == ("ours", "GOP")
    assert {record.source for record in table.records("block")} == {"fitted"}
    assert {r.source for r in tally(block, resolve(str(file('formula = "macs"')))).records("block")} == {"user"}
    assert entries(block, resolve(str(file(text)))) == (870, 870)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('formul = "macs"', "convention: must have one of base and formula, got neither; base changes a shipped convention"),
        (
            'formula = "macs"\nbase = "macs"',
            "convention: must have one of base and formula, got both; base changes a shipped convention",
        ),
        (
            'formula = "macs"\nattention_bit = 8',
            "key: unknown name, got 'attention_bit'; known, nearest first: attention_bits, attention_matmuls, ",
        ),
        ('base = "macs"\nunit = "OP"', "key: unknown name, got 'unit'; known, nearest first: "),
        ('base = "mac"', "base: unknown name, got 'mac'; known, nearest first: macs, "),
        ('base = 3', "base: must be a text, got 3; put it in quotation marks"),
        ('formula = ""', "formula: must be a text, got ''; put it in quotation marks"),
        ('formula = "macs"\nname = ""', "name: must be a text, got ''; put it in quotation marks"),
        (
            'formula = "macs * bits"',
            "formula: unknown symbol, got 'bits' at 8 of 'macs * bits'; known, nearest first: ",
        ),
        ('formula = "macs * "', "formula: must be an expression, got 'macs *': invalid syntax, at 7; mend it there"),
        (
            'kind = "size"\nformula = "macs"',
            "formula: unknown symbol, got 'macs' at 1 of 'macs'; known, nearest first: ",
        ),
        ('kind = "speed"\nformula = "macs"', "kind: must be operations or size, got 'speed'; size is for stored bytes"),
        ('formula = "macs"\nbits = [4, 16]', "bits: must be a list of widths, 1..8 or 32, got [4, 16]; leave it out for all"),
        ('formula = "macs"\nbits = 4', "bits: must be a list of widths, 1..8 or 32, got 4; leave it out for all"),
        (
            'formula = "macs"\n[elementwise]\ngelu = -1',
            "elementwise.gelu: a weight must be 0 or a positive number, got -1; 0 counts none",
        ),
        (
            'formula = "macs"\n[elementwise]\nnorm = 1',
            "mine: elementwise: option: unknown name, got 'norm'; known, nearest first: ",
        ),
        (
            'formula = "macs"\nends_bits = 16',
            "mine: ends_bits must be 1..8, 32 or none, got 16; 32 is float",
        ),
        ('formula = "macs"\nends = "stem"', "mine: ends must be groups of products, got 'stem'; known: "),
        ('formula = "macs"\nrounding = 1', "mine: rounding must be way:decimals:prefix, got 1; write rounding=round:1:G"),
        ('formula = "macs"\nunit = 1979-05-27', "mine: unit must be a text, got datetime.date(1979, 5, 27); write unit=mine"),
        (
            'formula = "macs - 1000"',
            "formula: five equal layers must cost five times as much as one, got 4005 of 1 for 'macs - 1000'; put it in "
            "proportion to macs",
        ),
        (
            'kind = "size"\nformula = "w * (weights + 1)"',
            "formula: five equal layers must cost five times as much as one, got 386 of 78 for 'w * (weights + 1)'; put it "
            "in proportion to weights",
        ),
        ('formula = "macs"\nstatus = "mine"', "mine: status must be one of user, printed, fitted, inferred, got "),
        ('formula = "macs"\nunit = ""', "mine: unit must be a word, got none; OP is what it is if left out"),
        ('kind = "size"\nformula = "weights"\nunit = "MB"', "key: unknown name, got 'unit'; known, nearest first: "),
        ('formula = macs', "must be TOML, got "),
        ('formula = "macs"\nformula = "a"', "must be TOML, got "),
    ],
)  # fmt: skip
def test_bad_files(text: str, message: str, file: File) -> None:
    path = file(text)
    with pytest.raises(BadFile) as error:
        resolve(str(path))
    assert str(error.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ('formula = "macs / (w - a)"', "division by zero"),
        ('formula = "macs * (a - w - 1)"', "-180"),
        ('formula = "macs * 1e308 * 1e308"', "inf"),
        ('formula = "log2(w - a)"', "math domain error"),
        ('kind = "size"\nformula = "weights * w / (rest - 32)"', "division by zero"),
    ],
)
def test_costs_that_are_none(text: str, got: str, file: File, block: Graph) -> None:
    with pytest.raises(HwsimError) as error:
        tally(block, resolve(str(file(text))))
    node = "blocks.0.norm1" if "size" in text else "blocks.0.attn.qkv"
    assert str(error.value) == (
        f"{file(text)}: mine: a row must cost a finite number of 0 or more, got {got} at {node}; mend the rule's formula"
    )


def test_bits_that_a_file_does_not_define(file: File, block: Graph) -> None:
    with pytest.raises(HwsimError) as error:
        resolve(str(file('formula = "macs"')), {"flops_per_mac": "4"})
    assert str(error.value).startswith(f"{file('')}: mine: flops_per_mac must be 1 or 2, got 4; ")
    with pytest.raises(HwsimError) as error:
        tally(block, resolve(str(file('formula = "macs"\nbits = [2, 4]'))))
    assert str(error.value).startswith(f"{file('')}: mine: bits must be one of 2, 4, got 8 at head; ")


def test_no_such_file_or_name(tmp_path: Path) -> None:
    with pytest.raises(BadFile) as error:
        resolve(str(tmp_path / "none.toml"))
    assert str(error.value).startswith(f"{tmp_path / 'none.toml'}: cannot be read as a convention, got ")
    with pytest.raises(UnknownName):
        resolve(str(tmp_path / "none"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadFile):
        resolve(str(tmp_path / "bytes.toml"))
