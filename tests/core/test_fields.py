"""Fields of a batch say what they are, and whoever trains or checks asks them."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from workbench.core.fields import (
    constant,
    declared,
    freeze,
    frozen,
    learned,
    masks,
    of_role,
    tensors,
)
from workbench.feedback.kind import kinds
from workbench.teach.properties import Subject, leaves, mask_of, no_gradient_into_frozen


@dataclass(frozen=True)
class Odd:
    """A batch whose names say nothing of what they hold."""

    policy: Tensor = frozen("here")
    reference: Tensor = learned("here")
    old: Tensor = constant()
    here: Tensor = masks()
    note: str = "no tensor"

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        drawn = torch.randn(2, batch, time, generator=generator, dtype=dtype)
        here = torch.ones(batch, time, dtype=torch.bool)
        return cls(drawn[0], drawn[1], drawn[0, :, 0], here)


def example() -> Odd:
    return Odd.example(torch.Generator().manual_seed(0))


def test_roles_are_declared_and_no_name_is_looked_at():
    assert of_role(example(), "frozen") == ["policy"]
    assert of_role(example(), "learned") == ["reference"]
    assert of_role(example(), "constant", "mask") == ["old", "here"]
    assert set(tensors(example())) == {"policy", "reference", "old", "here"}
    assert mask_of(example(), "policy") is not None
    assert mask_of(example(), "old") is None
    assert declared(Odd)["reference"].logps and not declared(Odd)["old"].logps


def test_freezing_cuts_what_is_no_output_of_the_model_that_learns():
    """d/dx of (policy + reference + old) reaches the learned field alone."""
    batch = leaves(example())
    cut = freeze(batch)
    total = (cut.policy + cut.reference).sum() + cut.old.sum()
    found = torch.autograd.grad(
        total, [batch.policy, batch.reference, batch.old], allow_unused=True
    )
    assert found[0] is None and found[2] is None
    assert (found[1] == 1).all()


def test_the_generic_check_reads_the_declaration():
    leaks = Subject(lambda b, c: (b.reference * b.policy).sum(-1), Odd, None)
    assert "policy" in no_gradient_into_frozen(leaks)
    right = Subject(lambda b, c: (b.reference * b.policy.detach()).sum(-1), Odd, None)
    assert no_gradient_into_frozen(right) is None


@pytest.mark.parametrize("batch_class", kinds(), ids=lambda c: c.__name__)
def test_every_tensor_of_every_kind_is_declared_with_its_own_mask(batch_class):
    """A mask that is named exists, is boolean and has the field's leading axes."""
    batch = batch_class.example(torch.Generator().manual_seed(1))
    told = declared(batch)
    assert set(tensors(batch)) <= set(told)
    for name, value in tensors(batch).items():
        if told[name].role == "mask":
            assert value.dtype == torch.bool
        if told[name].mask is not None:
            mask = getattr(batch, told[name].mask)
            assert mask.dtype == torch.bool
            assert value.shape[: mask.ndim] == mask.shape
    assert of_role(batch, "learned")
