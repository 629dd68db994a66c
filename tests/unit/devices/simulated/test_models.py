"""The table of cards that can be simulated."""

import pytest

from agent.devices.simulated.faults import READINGS
from agent.devices.simulated.loads import MOST_RUNNING, serving_mw
from agent.devices.simulated.models import MODELS, CardModel


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_no_model_passes_its_limit_with_noise(model: CardModel) -> None:
    """Whatever a card does, noise included, stays within what its board may draw."""
    levels = (
        *(model.idle_mw, model.parked_mw, model.checkpoint_mw),
        *(serving_mw(model, MOST_RUNNING), *model.training_mw),
        model.notebook_mw[0] + (model.notebook_mw[1] - model.notebook_mw[0]) * 68 // 75,
    )

    assert max(levels) + model.noise_mw <= model.power_limit_mw
    assert min(levels) - model.noise_mw > 0


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_loaded_model_costs_power_even_when_silent(model: CardModel) -> None:
    """Parking a model is dearer than an empty card, and cheaper than any work."""
    assert model.idle_mw < model.parked_mw < model.checkpoint_mw < model.serving_mw[0]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_unsupported_readings_exist(model: CardModel) -> None:
    """A model can only lack readings that there are."""
    assert model.unsupported <= READINGS
