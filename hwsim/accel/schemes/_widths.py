"""Types of the schemes' keys."""

from typing import Annotated

from pydantic import Field

from hwsim.accel.reading import Rule

Width = Annotated[int, Field(ge=1, le=32), Rule("an integer from 1 to 32 (bits)", "8")]
Lanes = Annotated[int, Field(ge=1, le=65536), Rule("an integer from 1 to 65536 (operands side by side)", "16")]
