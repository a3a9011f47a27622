"""The ATen operators that a captured model may hold, and what each becomes in the Graph.

RULES maps an operator's name to a rule(tracer, site, *args): operands are Activation (a value of the graph), Constant (a
tensor known now) or plain Python values; the result is an Activation, a Constant or a list of them. To support another
operator, add a rule to the file of its kind and, where it is new arithmetic, a file to `hwsim/ops`.
"""

from qmodels.aten import activations, arithmetic, layout, norms, pooling, products, quantizers
from qmodels.tracer import Rule

RULES: dict[str, Rule] = {
    **quantizers.RULES,
    **products.RULES,
    **arithmetic.RULES,
    **activations.RULES,
    **norms.RULES,
    **pooling.RULES,
    **layout.RULES,
}
