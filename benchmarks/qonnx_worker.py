"""qonnx's inference cost of one file, as JSON; run by a Python that has qonnx (`pip install qonnx`), which may be another.

python qonnx_worker.py FILE
"""

import ast
import json
import os
import sys
from importlib.metadata import version


def main() -> None:
    """Print what qonnx counts. What it and its libraries say goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from qonnx.util.inference_cost import inference_cost

    cost = inference_cost(sys.argv[1], discount_sparsity=False)["total_cost"]
    cost["unsupported"] = ", ".join(
        sorted(ast.literal_eval(cost["unsupported"]) if cost["unsupported"] != "set()" else ())
    )
    macs = {key: value for key, value in cost.items() if key.startswith("op_mac")}
    found = {key: cost[key] for key in ("total_macs", "total_bops", "unsupported")}
    print(json.dumps({**found, **macs, "version": version("qonnx")}), file=answers, flush=True)


if __name__ == "__main__":
    main()
