"""What is refused for the memory there is."""

import pytest

from jaxvae.training.memory import refuse_too_large


@pytest.fixture(autouse=True)
def _memory(monkeypatch):
    monkeypatch.setattr("jaxvae.training.memory.available_memory", lambda: 450 * 2**30)


def test_a_model_and_its_batch_need_its_state_three_times():
    refuse_too_large(140 * 2**30, batch=30 * 2**30)
    with pytest.raises(ValueError, match=r"450\.0 GiB, .* 451\.0 GiB; choose a smaller network"):
        refuse_too_large(140 * 2**30, batch=31 * 2**30)


def test_models_that_do_not_fit_together_are_refused_with_how_many_do():
    refuse_too_large(70 * 2**30, members=4, devices=2)
    with pytest.raises(ValueError, match=r"of 5 models .*, got 630\.0 .*--members of at most 4 "):
        refuse_too_large(70 * 2**30, members=5, devices=2)
    with pytest.raises(ValueError, match="choose a smaller network or batch"):
        refuse_too_large(300 * 2**30, members=5, devices=2)
