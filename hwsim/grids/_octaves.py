"""How far a grid of powers may reach down: with many bits its codes would outrun every accumulator."""

MAX_OCTAVES = 30
"""The largest power of two that a signed integer of 32 bits holds."""


def check_octaves(owner: str, octaves: int) -> None:
    """Raise ValueError unless `octaves` is 1..MAX_OCTAVES, or 0 for as many as there are codes."""
    if not 0 <= octaves <= MAX_OCTAVES:
        raise ValueError(
            f"{owner}: octaves must be 1..{MAX_OCTAVES}, or 0 for as many as there are codes, got {octaves}"
        )
