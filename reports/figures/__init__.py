"""The catalogue of figures: each file defines one function of its own name, `(records) -> Plot | None`."""
