"""`hwsim import-checkpoint`: a checkpoint of another project becomes one of ours."""

from pathlib import Path
from typing import Annotated

import typer

from hwsim import console

EXAMPLE = (
    "hwsim import-checkpoint best_checkpoint_3bit.pth --from q-vit "
    "--workload deit_small_distilled_patch16_224_w3a3_qvit_released --out q_deit_s_3bit.safetensors"
)


def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="The file; no code in it is run.")],
    source: Annotated[str, typer.Option("--from", help="Whose: q-vit, the authors' released code.")],
    workload: Annotated[
        str, typer.Option("--workload", help="What it is, MODEL_wXaY_METHOD; of q-vit the method is qvit_released.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The checkpoint to write.")],
) -> None:
    """Write a checkpoint of another project as one that trace and verify read; nothing is trained.

    Q-ViT's has a scale per input channel, which no integer product executes: give --fold-input-scales with it.
    """
    import workloads
    from hwsim.files import check_writable

    found = workloads.find(workload)
    check_writable(out)
    from qmodels import importing

    imported = importing.read(source, file, found)
    importing.save(imported, source, out, found)
    console.say(f"{workload}: {imported}; wrote {out}")
