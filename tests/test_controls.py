"""Floor, null and ceiling: what they are measured on, what they say, when they are measured anew."""

import pytest
import torch

import mia_bench
from mia_bench.bench.controls import Ranks, Scope, controls
from mia_bench.bench.judging import hits_of, shares
from mia_bench.bench.laboratory import Fitted, Laboratory, mean_of_people
from mia_bench.bench.registry import Registry
from mia_bench.networks import store
from mia_bench.plugin import Photos
from mia_bench.protocol import model as protocol
from mia_bench.protocol import null
from mia_bench.protocol.split import Split
from mia_bench.records.figures import MAJORITY


@pytest.fixture
def measured(lab):
    """Controls of three people, two trials; and what each evaluator of a laboratory says of them."""

    def measure(lab=lab):
        scope = Scope("A", "vae", lab.split("A").targets[:3], 2, 0, Registry().attack("wb"), None)
        made = controls(lab, scope)
        return made, {found.spec: made.ranks(lab, found, "A") for found in lab.evaluators_present}

    return measure


def test_the_null_target_never_saw_a_photo_of_a_target(lab):
    for fold in lab.protocol.split.folds:
        split = lab.split(fold)
        kept, unseen = null.photos(split)
        assert kept.people == split.q2.people
        assert len(kept) == len(split.q2)
        assert set(kept.hashes) | set(unseen.hashes) <= set(split.q1.hashes), "orl: all stand-ins are of Q1"
        assert not set(kept.hashes) & set(unseen.hashes)
        assert torch.equal(torch.bincount(kept.labels), torch.bincount(split.q2.labels))
        for person in split.targets:
            rows = (kept.labels == kept.people.index(person)).nonzero().squeeze(1)
            shown = {split.q1.names[split.q1.hashes.index(kept.hashes[row])] for row in rows.tolist()}
            assert len(shown) == 1, "one person stands in for one"


def photos(prefix: str, counts: dict[str, int]) -> Photos:
    names = [person for person, count in counts.items() for _ in range(count)]
    labels = torch.tensor([list(counts).index(person) for person in names])
    hashes = tuple(f"{prefix}{person}{i}" for i, person in enumerate(names))
    return Photos(torch.zeros(len(names), 1, 8, 8), labels, tuple(counts), hashes)


def split_of(public: dict[str, int]) -> Split:
    enrolled = {"a": 4, "b": 4, "other": 4}
    parts = [photos(part, enrolled) for part in ("tar", "tar-test", "eval", "eval-test")]
    return Split("A", ("a", "b"), photos("public", public), *parts)


def test_stand_ins_keep_a_photo_to_be_tested_on_and_the_others_stay():
    kept, unseen = null.photos(split_of({"x": 2, "y": 9, "z": 5}))
    assert torch.bincount(kept.labels).tolist() == [4, 4, 4]
    assert all(digest.startswith("publicy") for digest in kept.hashes[:4])
    assert all(digest.startswith("publicz") for digest in kept.hashes[4:8])
    assert all(digest.startswith("tarother") for digest in kept.hashes[8:])
    assert [digest for digest in unseen.hashes if digest.startswith("publicz")]


def test_where_the_public_people_do_not_suffice_the_next_target_stands_in():
    kept, unseen = null.photos(split_of({"x": 20}))
    assert all(digest.startswith("tarb") for digest in kept.hashes[:4])
    assert all(digest.startswith("tara") for digest in kept.hashes[4:8])
    assert all(digest.startswith("tar-testb") for digest in unseen.hashes[:4])


def test_controls_are_measured_for_each_evaluator_and_the_majority(lab, measured):
    made, ranks = measured()
    split, targets = lab.split("A"), lab.split("A").targets[:3]
    names = [*lab.fitted("A"), MAJORITY]
    shown = [person for person in targets for _ in range(2)]
    assert made.floor.people == made.null.people == shown
    assert made.ceiling.people == made.real.people == split.q3_test.names
    hits = {
        kind: hits_of({name: torch.tensor(getattr(found, kind)) for name, found in ranks.items()}, frozenset(ranks))
        for kind in Ranks.model_fields
    }
    for kind, hit in hits.items():
        control = getattr(made, kind)
        assert list(hit) == names
        assert all(len(hit[name]) == len(control.people) == len(control.images) for name in names)
        assert all(len(shares(hit[name], control.people, targets)) == 3 for name in names)
    assert torch.equal(made.real.images, split.q3_test.images)
    assert all(mean_of_people(hits["real"][name], split.q3_test) > 0.85 for name in names)
    assert sum(shares(hits["null"]["reval"], shown, targets)) / 3 <= 0.34
    fitted = lab.evaluator("A")
    assert ranks["reval"].null == fitted.rank_of(made.null.images, shown).tolist()


def test_controls_are_kept_and_measured_anew_only_if_damaged_or_for_another_evaluator(lab, measured, monkeypatch):
    first, ranks = measured()
    attack, rank_of = type(Registry().attack("wb")), Fitted.rank_of
    attacked, asked = [], []
    run = attack.run

    def attacking(self, *arguments):
        attacked.append(arguments)
        return run(self, *arguments)

    def ranking(self, images, people):
        asked.append(images)
        return rank_of(self, images, people)

    monkeypatch.setattr(attack, "run", attacking)
    monkeypatch.setattr(Fitted, "rank_of", ranking)

    def again(lab=lab):
        attacked.clear()
        asked.clear()
        made, found = measured(lab)
        assert torch.equal(made.null.images, first.null.images)
        assert {name: found[name] for name in ranks if name in found} == {
            name: said for name, said in ranks.items() if name in found
        }
        return len(attacked), len(asked)

    assert again() == (0, 0)
    kinds, folder = len(Ranks.model_fields), store.cache_dir() / "controls"
    for kept in folder.glob("*.json"):
        kept.write_text('{"floor":')
    assert again() == (0, kinds * len(ranks)), "the images are kept, and judged anew"
    assert again() == (0, 0)
    for kept in folder.glob("*.json"):
        kept.write_text(Ranks(floor=[0], null=[0], ceiling=[0], real=[0]).model_dump_json())
    assert again() == (0, kinds * len(ranks)), "ranks of other images"
    for kept in folder.glob("*.safetensors"):
        kept.write_bytes(kept.read_bytes()[:-1])
    assert again() == (1, 0), "the same attack leaves the same images"
    fewer = Laboratory(lab.protocol, lab.engine, evaluators=lab.evaluators_present[:2])
    assert again(fewer) == (0, 0)
    other = Laboratory(lab.protocol, lab.engine, evaluators=(Registry().evaluator("lda:components=20"),))
    assert again(other) == (0, kinds)


def test_a_record_shows_every_evaluator_between_its_controls(tmp_path):
    (found,) = mia_bench.evaluate(attacks=["wb"], folds=["A"], identities=2, trials=2, out=tmp_path)
    assert list(found.evaluators) == ["reval", "cnn", "lda", "hog"]
    for name, said in found.evaluators.items():
        rows = [row.evaluators[name] for row in found.per_identity]
        assert said.top1 == pytest.approx(sum(rows) / len(rows))
        assert said.top1 <= said.top5
        assert None not in (said.floor, said.null, said.ceiling)
    headline = found.evaluators["reval"]
    assert (found.floor, found.null, found.ceiling) == (headline.floor, headline.null, headline.ceiling)
    assert found.attack_accuracy.top1 == headline.top1
    assert found.majority.top1 <= sum(said.top1 for said in found.evaluators.values()) / 2
    assert {"ssim", "delta_eval", "kid", "density"} <= set(found.results.metrics)
    assert found.results.left_out == {}


def test_a_protocol_without_the_headlines_evaluator_is_refused():
    run = protocol.load("orl").run.model_copy(update={"evaluators": ("lda",)})
    content = protocol.load("orl").model_dump(by_alias=True) | {"run": run.model_dump()}
    with pytest.raises(ValueError, match="'reval', the headline's evaluator"):
        protocol.Protocol.model_validate(content)
