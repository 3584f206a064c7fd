"""What honest users get from released scores, by hand; withheld and refused ones; the cost of a defense."""

import math
import time

import numpy as np
import pytest
import torch

from mia_bench.bench import utility
from mia_bench.bench.registry import Registry
from mia_bench.plugin import Defense, Photos, Pipeline, Recogniser
from mia_bench.plugin.seeds import rng

from .helpers import service_of

NAN = math.nan


class Knows(Recogniser):
    """Given scores, one row an image, whatever the images."""

    def __init__(self, rows):
        self._rows = torch.tensor(rows)

    def scores(self, images):
        return self._rows[: len(images)]


class RefusesFirst(Defense):
    name = "refuses-first"
    withholds = True
    refuses = True

    def release(self, scores, rng):
        scores[0] = torch.nan
        return scores


class Slow(Defense):
    name = "slow"

    def release(self, scores, rng):
        time.sleep(0.02)
        return scores + torch.zeros(1000, *scores.shape).sum(0)


def photos_of(*labels):
    count = len(labels)
    people = tuple(f"p{label}" for label in range(max(labels) + 1))
    return Photos(torch.zeros(count, 1, 4, 4), torch.tensor(labels), people, tuple(map(str, range(count))))


SCORES = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]


def of_service(target, pipeline, photos, first_caller=0):
    """Utility of a target behind defenses; the cost is measured on a service that has not been asked."""
    asked, timed = (service_of(target, pipeline, rng(0)) for _ in range(2))
    return utility.measure(asked, timed, target, photos, first_caller)


def measured(labels, *stages, scores=SCORES):
    return of_service(Knows(scores), Pipeline(stages), photos_of(*labels))


@pytest.mark.parametrize(
    ("released", "told"),
    [
        ([0.6, 0.3, 0.1], [0.6, 0.3, 0.1]),
        ([0.6, NAN, NAN], [0.6, 0.2, 0.2]),  # what is left, shared
        ([0.5, 0.1, NAN, NAN], [0.625, 0.125, 0.125, 0.125]),  # no withheld score above the lowest released one
        ([1.0, NAN, NAN], [1.0, 0.0, 0.0]),  # a label alone
        ([0.9, 0.3, 0.3], [0.6, 0.2, 0.2]),  # rounded scores need not sum to 1
        ([0.0, 0.0, NAN, NAN], [0.25] * 4),  # nothing told
    ],
)
def test_withheld_scores_share_what_is_left(released, told):
    found = utility.probabilities(torch.tensor([released]))
    assert found[0].tolist() == pytest.approx(told)


def test_the_figures_of_scores_by_hand():
    found = measured([0, 1, 1, 2])
    assert found.top1 == pytest.approx((1 + 0.5 + 1) / 3, abs=1e-6), "person 1 has a hit and a miss and counts once"
    assert found.log_loss == pytest.approx(-(math.log(0.7) + (math.log(0.8) + math.log(0.3)) / 2 + math.log(0.6)) / 3)
    gaps = [0.3 * 1, 0.2 * 0.5, 0.5 * 0.5, 0.4 * 1]  # |right - confidence|, each alone in its bin
    assert found.ece == pytest.approx(sum(gaps) / 3)
    genuine, false = [0.7, 0.8, 0.3, 0.6], [0.2, 0.1, 0.1, 0.1, 0.5, 0.2, 0.2, 0.2]
    assert found.auc == pytest.approx(np.mean([a > b for a in genuine for b in false]))
    assert found.refused == 0


def test_calibration_is_by_bins():
    confidence, right = np.array([0.91, 0.92, 0.55, 1.0]), np.array([True, False, True, True])
    first = abs(0.5 - 0.915) * 2
    assert utility.calibration_error(confidence, right, np.ones(4)) == pytest.approx((first + 0.45 + 0) / 4)


def test_refused_images_are_counted_and_left_out_of_the_scores_figures():
    found, without = measured([0, 1, 1, 2], RefusesFirst()), measured([0, 0, 1], scores=SCORES[1:])
    assert found.refused == pytest.approx(1 / 3, abs=1e-6)
    assert found.top1 == pytest.approx((0 + 0.5 + 1) / 3, abs=1e-6)
    assert found.log_loss == pytest.approx(-((math.log(0.8) + math.log(0.3)) / 2 + math.log(0.6)) / 2)
    assert without.refused == 0


def test_a_service_that_refuses_everything_has_no_such_figures():
    class RefusesAll(RefusesFirst):
        def release(self, scores, rng):
            return torch.full_like(scores, torch.nan)

    found = measured([0, 1, 1, 2], RefusesAll())
    assert (found.top1, found.refused) == (0, 1)
    assert found.log_loss is found.ece is found.auc is None
    assert utility.mean([found, measured([0, 1, 1, 2])]).auc is None


def test_labels_alone_cost_calibration_and_rounding_is_defined():
    registry = Registry()
    labels, rounded, plain = (
        measured([0, 1, 1, 2], *registry.defense(spec).stages) for spec in ("labelonly", "round1", "none")
    )
    assert labels.log_loss == pytest.approx(-math.log(utility.LEAST) / 2 / 3, rel=1e-3), "half of person 1's photos"
    assert labels.ece == pytest.approx(0.5 / 3)
    assert labels.auc < plain.auc
    assert all(value is not None and math.isfinite(value) for value in (rounded.log_loss, rounded.ece, rounded.auc))


def test_the_cost_of_a_defense_is_a_ratio_to_none(lab):
    target = lab.target("A", Registry().target("paper"))
    photos = lab.split("A").q2_test
    none, slow = (of_service(target, Pipeline(stages), photos) for stages in ((), (Slow(),)))
    assert none.cost.latency_ratio < slow.cost.latency_ratio
    # the target is timed beside it, and a busy machine moves that
    assert slow.cost.added_latency_s >= 0.014 / utility.TIMED
    assert none.cost.memory_ratio < 1.1 < slow.cost.memory_ratio


def test_measuring_twice_gives_the_same_figures(lab):
    target, noise = lab.target("A", Registry().target("paper")), Registry().defense("noise0.05")
    first, second = (of_service(target, noise, lab.split("A").q2_test) for _ in range(2))
    assert first.model_copy(update={"cost": None}) == second.model_copy(update={"cost": None})


def test_folds_are_averaged():
    one, two = measured([0, 1, 1, 2]), measured([0, 1, 2, 2])
    assert utility.mean([one, two]).log_loss == pytest.approx((one.log_loss + two.log_loss) / 2, abs=1e-6)


def test_each_person_asks_from_an_account_of_their_own():
    """Of the utility and of the cost: a quota on accounts must not meet one user with everybody's photos."""
    asked = []

    class Watching(Defense):
        name = "watching"

        def wrap(self, service, prepared, rng):
            def answer(query):
                asked.append(query.callers.tolist())
                return service(query)

            return answer

    of_service(Knows(SCORES), Pipeline((Watching(),)), photos_of(0, 1, 1, 2), first_caller=1000)
    assert len(asked) > 1
    assert all(callers == [1000, 1001, 1001, 1002] for callers in asked)
