"""`hwsim trace`: from a model to a graph."""

from pathlib import Path
from typing import Annotated

import typer

from hwsim import console
from hwsim.cli._options import Abits, Wbits, need_no_widths, workload_of

EXAMPLE = "hwsim trace deit_tiny_patch16_224 --wbits 4 --abits 4 --out deit_tiny.safetensors"


def trace(
    model: Annotated[str, typer.Argument(help="A model, a workload (MODEL_wXaY_METHOD too), or a checkpoint file.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the graph to this file.")] = None,
    wbits: Wbits = None,
    abits: Abits = None,
    fold: Annotated[
        bool,
        typer.Option("--fold-input-scales", help="Mend layers with one scale per input channel, and say what it cost."),
    ] = False,
    graphml: Annotated[Path | None, typer.Option("--graphml", help="Write the topology as GraphML.")] = None,
) -> None:
    """Trace a model into its op graph; print the listing, or write the graph file."""
    import workloads
    from hwsim import store
    from qmodels import builder, evidence
    from qmodels import checkpoint as checkpoints
    from workloads import models

    named = model in workloads.names() or model in models.names()
    checkpoint = Path(model) if not named and (Path(model).suffix or Path(model).is_file()) else None
    if checkpoint:
        need_no_widths((wbits, abits), f"the checkpoint {checkpoint}")
        found = workloads.find(checkpoints.read(checkpoint)[1]["workload"])
    else:
        found = workload_of(model, wbits, abits)
    network = builder.build(found, checkpoint)
    if fold:
        from qmodels import folding

        network = network.double()  # no rounding but that of the weights
        console.say(str(folding.fold_input_scales(network, folding.images_of(found))))
    graph = evidence.trace_model(network, found)
    if out:
        store.save(graph, out)
        console.say(f"{graph.name}: {len(graph.nodes)} nodes, wrote {out}")
    if graphml:
        import io

        import networkx

        from hwsim.files import write_bytes

        buffer = io.BytesIO()
        networkx.write_graphml(graph.to_networkx(), buffer)
        write_bytes(buffer.getvalue(), graphml)
    if not out and not graphml:
        print(graph)
