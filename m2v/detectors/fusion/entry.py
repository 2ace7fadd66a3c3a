"""What the catalog says of a head that fuses modalities."""

from typing import Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from m2v.detectors.fitting.entry import Fitted

Head: TypeAlias = Literal["concat", "gated", "product", "tokens", "co_attention", "mixture"]
# What each head's authors trained it with, where they said so and where it can be had on two cores.
RECIPES: dict[str, dict[str, Any]] = {
    # EE-559's and HateMM's fusion: one hidden layer of 128; the penalty and rate are ours.
    "concat": {"width": 128, "weight_decay": 1.0, "dropout": 0.0, "epochs": 60, "patience": 10},
    # GatedCLIP (arXiv 2602.20818).
    "gated": {
        "width": 128,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "weight_decay": 0.01,
        "dropout": 0.2,
        "epochs": 20,
        "patience": 7,
        "warmup_epochs": 2,
        "schedule": "cosine",
        "class_weights": "none",
    },
    # MemeCLIP (EMNLP 2024): batches of 16 at 1e-4 there, here four times both.
    "product": {
        "width": 1024,
        "learning_rate": 4e-4,
        "weight_decay": 1e-4,
        "dropout": 0.1,
        "epochs": 10,
        "class_weights": "none",
    },
    # MemeFier (ICMR 2023): of its grid the small encoder, over 512; batches of 32 at 1e-4 there, here twice both.
    "tokens": {
        "width": 512,
        "n_attention_heads": 4,
        "learning_rate": 2e-4,
        "weight_decay": 1e-4,
        "dropout": 0.4,
        "epochs": 16,
        "patience": 4,
        "class_weights": "none",
    },
    # DORA (BHM, ACL 2024) has two heads of attention over 1024 with dropout .1; the rest of it could not be kept.
    "co_attention": {"width": 256, "learning_rate": 3e-4, "dropout": 0.1, "epochs": 30},
    # MoRE (WWW 2025): experts of 128; rate and batches.
    "mixture": {"width": 128, "batch_size": 128, "learning_rate": 5e-4, "dropout": 0.2, "epochs": 50},
}
# Settings that only some heads have.
SWITCHES: dict[str, frozenset[str]] = {
    "gated": frozenset({"alignment"}),
    "product": frozenset({"adapter_share", "cosine_scale", "starts_from_texts"}),
    "tokens": frozenset({"aligns", "attends", "n_layers", "n_attention_heads"}),
    "co_attention": frozenset({"n_attention_heads"}),
}


class Fusion(Fitted):
    """A head on features of several modalities.

    What an entry leaves out is as ``RECIPES`` says for its head.

    Attributes:
        head: ``concat``: side by side, a hidden layer; ``gated``: two modalities and how much of either;
            ``product``: what they have in common, against the classes' directions; ``tokens``: every token, weighed
            by the other modality, in a transformer; ``co_attention``: each modality's tokens look at the others';
            ``mixture``: an expert for each modality, and a router.
        width: Of the hidden layer, of ``product``'s and ``tokens``' common space; of ``concat`` 0 is logistic
            regression.
        alignment: Of ``gated``: the weight of the mean of 1 - cosine between the two modalities in the loss.
        adapter_share: Of ``product``: how much of a modality is its adapter's.
        cosine_scale: Of ``product``: what cosines are multiplied with.
        starts_from_texts: Of ``product``: classes start at the label's definitions, where a text feature has them.
        aligns, attends: Of ``tokens``: its first stage, tokens times the others' mean, and its second, the transformer.
    """

    kind: Literal["fusion"]
    head: Head = "concat"
    width: int = Field(default=128, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    alignment: float = Field(default=0.01, ge=0)
    adapter_share: float = Field(default=0.2, ge=0, le=1)
    cosine_scale: float = Field(default=30.0, gt=0)
    starts_from_texts: bool = True
    aligns: bool = True
    attends: bool = True
    n_layers: int = Field(default=1, gt=0)
    n_attention_heads: int = Field(default=2, gt=0)

    heads_of_tokens: ClassVar[frozenset[str]] = frozenset({"tokens", "co_attention"})
    heads_that_explain: ClassVar[frozenset[str]] = frozenset({"gated", "mixture"})

    @model_validator(mode="before")
    @classmethod
    def _with_recipe(cls, given: Any) -> Any:
        """Fill in what the head's recipe says."""
        if not isinstance(given, dict):
            return given
        head = given.get("head", "concat")
        return {**RECIPES.get(head, {}), **given} if isinstance(head, str) else given

    @model_validator(mode="after")
    def _fits_its_head(self) -> Self:
        own = SWITCHES.get(self.head, frozenset())
        for head, names in SWITCHES.items():
            for name in sorted(names - own):
                if getattr(self, name) != type(self).model_fields[name].default:
                    shown = f"those of {self.head} are {', '.join(sorted(own))}" if own else f"{self.head} has none"
                    raise ValueError(f"{name} is a switch of head {head}; {shown}")
        if not self.width and self.head != "concat":
            raise ValueError(f"width 0 is logistic regression, which is a concat; head {self.head} needs a width")
        if self.sees_tokens and self.width % self.n_attention_heads:
            raise ValueError(f"width {self.width} cannot be shared by {self.n_attention_heads} heads of attention")
        return self

    @property
    def sees_tokens(self) -> bool:
        """Whether it sees every vector of an item; else their mean."""
        return self.head in self.heads_of_tokens

    @property
    def explains(self) -> bool:
        """Whether it says how much each modality weighed."""
        return self.head in self.heads_that_explain
