"""A target as services run it, a prior that holds a face, and evaluators that must show that they see one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mia_bench import evaluate
from mia_bench.bench.battery import TESTS, battery, failures
from mia_bench.bench.laboratory import Laboratory
from mia_bench.networks import eigenface
from mia_bench.networks.lesson import Role
from mia_bench.plugin import Engine, Photos
from mia_bench.protocol.images import picture
from mia_bench.protocol.model import EigenfaceRecipe, load

from .helpers import mia, refused


@pytest.fixture(scope="module")
def gallery():
    return Laboratory(load("orl-gallery"), Engine.on("cpu"))


def test_the_gallery_knows_its_people_and_nobody_was_trained_on(gallery):
    figures = gallery.figures("A")
    assert figures["target_top1"] >= 0.93
    assert figures["evaluator_top1"] >= 0.95
    split = gallery.split("A")
    assert len(split.targets) == 40
    assert not set(split.q1.people) & set(split.q2.people)
    net = gallery.trained(Role("target"), "A")
    shown = net.features(split.q2.images[:3])
    assert torch.allclose(shown.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(net(split.q2.images[:3]), 20 * shown @ net.templates.T, atol=1e-4)


def test_q1_is_drawn_alike_each_time_and_is_nobody(gallery):
    again = Laboratory(load("orl-gallery"), Engine.on("cpu"))
    assert torch.equal(again.split("A").q1.images, gallery.split("A").q1.images)
    assert len(set(gallery.split("A").q1.hashes)) == 400


def test_the_prior_holds_faces_that_r_eval_knows(gallery):
    generator, unseen = gallery.generator("A", "eigenface"), gallery.split("A").q3_test
    decoded = generator.decode(generator.encode(unseen.images))
    assert float((gallery.evaluator("A").rank_of(decoded, unseen.names) == 0).float().mean()) >= 0.8
    z = torch.randn(5, generator.latent, generator=torch.Generator().manual_seed(0)) / 4
    assert torch.allclose(generator.encode(generator.decode(z)), z, atol=0.02)


def test_eigenfaces_of_photos_are_their_principal_components():
    images = torch.rand(30, 1, 16, 12, generator=torch.Generator().manual_seed(0))
    photos = Photos(images, torch.zeros(30, dtype=torch.int64), ("p",), tuple(map(str, range(30))))
    net = eigenface.made(EigenfaceRecipe(kind="eigenface", latent=29), photos, (16, 12))
    codes = net.encoder(images)[0]
    assert torch.allclose(net.decoder(codes), images, atol=1e-4), "all components hold all photos"
    assert torch.allclose(codes.square().mean(0), torch.ones(29), atol=1e-3), "the latent is whitened"
    few = eigenface.made(EigenfaceRecipe(kind="eigenface", latent=5), photos, (16, 12))
    assert torch.allclose(few.encoder(images)[0], codes[:, :5], atol=1e-3)


def test_the_battery_tells_evaluators_of_faces_from_those_of_hair(gallery, lab):
    def failed(laboratory, name):
        evaluator = next(one for one in laboratory.evaluators_present if one.spec == name)
        return failures([battery(laboratory, evaluator, "A")], 20, {"floor": 0.0, "null": 0.0})

    assert failed(gallery, "reval") == []
    for name in ("reval", "cnn", "lda"):
        assert any(found.startswith("coarse swap") for found in failed(lab, name)), name
    assert failures([battery(gallery, gallery.evaluators_present[0], "A")], 20, {"floor": 0.5, "null": 0.0})
    assert {test.name for test in TESTS} == set(battery(gallery, gallery.evaluators_present[0], "A").true)


def test_a_white_box_attack_finds_faces_and_unfit_evaluators_do_not_count(tmp_path):
    asked = {"protocol": "orl-gallery", "identities": 8, "trials": 1, "budget": 600, "out": tmp_path}
    found, floor = evaluate(attacks=["wb-robust", "prior"], **asked)
    assert found.status == "ok", found.reason
    assert found.attack_accuracy.top1 >= 0.6
    assert floor.attack_accuracy.top1 <= 0.25
    assert "reval" not in found.results.unfit
    assert found.majority.top1 == found.evaluators["reval"].top1, "hog fails the battery"


def test_a_defense_that_trains_is_skipped_where_the_network_comes_trained(tmp_path):
    plugin = Path(__file__).parent / "plugins" / "short_training.py"
    asked = {"protocol": "orl-gallery", "identities": 2, "trials": 1, "budget": 20, "out": tmp_path}
    found = evaluate("short", attacks="prior", plugins=[plugin], **asked)[-1]
    assert found.status == "skipped"
    assert "brings it trained" in found.reason


def test_weights_that_are_not_the_protocols_are_refused(tmp_path):
    file = tmp_path / "mine.toml"
    text = (Path(eigenface.__file__).parent.parent / "protocol" / "protocols" / "orl-gallery.toml").read_text()
    save_file({"mean": torch.zeros(1, 64, 64)}, tmp_path / "prior.safetensors")
    file.write_text(text.replace("../weights/gallery/prior.safetensors", "prior.safetensors"))
    refused(mia("train", "--protocol", file), "SHA-256", "prior.safetensors")


def test_somebody_elses_reconstructions_are_judged_with_all_controls(gallery, tmp_path):
    unseen = gallery.split("A").q3_test
    people = sorted(set(unseen.names))[:4]
    for person in people:
        (tmp_path / "faces" / person).mkdir(parents=True)
        for number, image in enumerate(unseen.of(person)):
            picture(image).save(tmp_path / "faces" / person / f"{number}.png")
    done = mia("judge", "--images", tmp_path / "faces", "--protocol", "orl-gallery", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["images"] == 20
    assert said["evaluators"]["reval"]["top1"]["share"] >= 0.9
    assert said["evaluators"]["reval"]["floor"] <= 0.1
    assert {row["identity"] for row in said["per_identity"]} == set(people)

    images = torch.cat([unseen.of(person) for person in people])
    labels = torch.arange(4).repeat_interleave(5)
    file = tmp_path / "faces.safetensors"
    save_file({"images": images, "labels": labels}, file, {"people": json.dumps(people)})
    same = mia("judge", "--images", file, "--protocol", "orl-gallery", "--json")
    assert json.loads(same.stdout)["evaluators"]["reval"]["top1"]["share"] >= 0.9
    for tensors, names, word in (
        ({"images": images * 2, "labels": labels}, people, "values in [0, 1]"),
        ({"images": images.double(), "labels": labels}, people, "float32"),
        ({"images": images, "labels": labels + 1}, people, "not one of the 4"),
        ({"images": images, "labels": labels}, None, "people"),
        ({"images": images, "labels": labels}, ["nobody", *people[1:]], "no target"),
    ):
        save_file(tensors, file, {"people": json.dumps(names)})
        refused(mia("judge", "--images", file, "--protocol", "orl-gallery"), word)
    refused(mia("judge"), "--images")
