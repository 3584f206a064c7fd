"""Readers, decoding, splits, protocol files."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from mia_bench.bench.laboratory import Laboratory
from mia_bench.networks import training
from mia_bench.plugin.errors import RequestError
from mia_bench.protocol import model as protocol
from mia_bench.protocol import propose, readers
from mia_bench.protocol import split as splits
from mia_bench.protocol.photo import grey

from .helpers import face_folder, mia, refused


@pytest.mark.parametrize("fold", ["A", "B"])
def test_orl_split_is_as_the_protocol_says(lab, fold):
    split = lab.split(fold)
    assert len(split.targets) == len(split.q1.people) == 20
    assert (len(split.q1), len(split.q2), len(split.q3)) == (200, 100, 100)
    assert split.q2.images.shape == (100, 1, 32, 32)
    assert split.q2.images.dtype == torch.float32
    assert 0 <= float(split.q2.images.min()) < float(split.q2.images.max()) <= 1
    assert set(split.q2_test.hashes) == set(split.q3.hashes), "R_tar is tested on R_eval's photos"


def test_the_folds_make_every_person_a_target_once(lab):
    a, b = (set(lab.split(fold).targets) for fold in "AB")
    assert len(a | b) == 40
    assert not a & b


def toml_for(root, **changes):
    text = propose.propose(root).toml
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def written(tmp_path, text):
    file = tmp_path / "my.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("mode", "suffix", "size"),
    [("RGB", ".png", (64, 64)), ("RGB", ".jpg", (112, 112)), ("L", ".pgm", (168, 192)), ("RGBA", ".png", (50, 40))],
)
def test_any_folder_of_people_becomes_a_protocol(tmp_path, mode, suffix, size):
    root = face_folder(tmp_path / "faces", {f"p{i}": 6 for i in range(6)}, size, mode, suffix)
    found = protocol.load(str(written(tmp_path, toml_for(root))))
    split = splits.make(found, "A")
    assert found.data.image == split.q1.images.shape[-2:]
    assert (len(split.targets), len(split.q1.people)) == (3, 3)
    assert split.q2.images.shape[1] == 1


def test_a_long_tail_of_people_becomes_the_public_set(tmp_path):
    counts = {f"many{i:02d}": 8 for i in range(12)} | {f"few{i:02d}": 1 + i % 3 for i in range(30)}
    root = face_folder(tmp_path / "faces", counts)
    found = protocol.load(str(written(tmp_path, toml_for(root))))
    split = splits.make(found, "A")
    assert found.split.folds == ("A",)
    assert all(name.startswith("many") for name in split.targets)
    assert all(name.startswith("few") for name in split.q1.people)


def test_hidden_and_other_files_are_passed_over(tmp_path):
    root = face_folder(tmp_path / "faces", {f"p{i}": 4 for i in range(4)})
    (root / ".DS_Store").write_text("x")
    (root / "p0" / "notes.txt").write_text("x")
    (root / "p0" / "._00.png").write_text("x")
    assert {len(files) for files in readers.folder(root).people.values()} == {4}


def test_a_copied_photo_is_used_once(tmp_path):
    root = face_folder(tmp_path / "faces", {f"p{i}": 4 for i in range(4)})
    text = toml_for(root)
    (root / "p0" / "copy.png").write_bytes((root / "p0" / "00.png").read_bytes())
    file = written(tmp_path, "\n".join(line for line in text.splitlines() if not line.startswith("sha256")))
    for fold in "AB":
        split = splits.make(protocol.load(str(file)), fold)
        for part in (split.q2, split.q3):
            assert len(set(part.hashes)) == len(part.hashes)


def test_the_same_photo_under_two_people_is_refused(tmp_path):
    root = face_folder(tmp_path / "faces", {f"p{i}": 4 for i in range(4)})
    for photo in range(4):
        (root / "p1" / f"{photo:02d}.png").write_bytes((root / "p0" / f"{photo:02d}.png").read_bytes())
    found = protocol.load(str(written(tmp_path, toml_for(root))))
    with pytest.raises(RequestError, match="two people"):
        splits.make(found, "A")


def break_photo(root):
    (root / "p1" / "01.png").write_bytes(b"no picture")


def cut_photo(root):
    photo = root / "p1" / "01.png"
    photo.write_bytes(photo.read_bytes()[:60])


def empty_person(root):
    for photo in (root / "p1").iterdir():
        photo.unlink()


def lose_photos(root):
    for photo in sorted((root / "p1").iterdir())[1:]:
        photo.unlink()


@pytest.mark.parametrize(
    ("damage", "word"),
    [(break_photo, "p1/01.png"), (cut_photo, "p1/01.png"), (empty_person, "p1"), (lose_photos, "p1 has 1")],
)
def test_a_damaged_folder_is_named_before_and_after_the_protocol_is_written(tmp_path, damage, word):
    root = face_folder(tmp_path / "faces", {f"p{i}": 4 for i in range(4)})
    text = toml_for(root)
    damage(root)
    lines = [line for line in text.splitlines() if not line.startswith("sha256")]
    file = written(tmp_path, "\n".join(lines))
    refused(mia("train", "--protocol", file), word)
    if damage is not lose_photos:  # with fewer photos a smaller protocol is proposed, or none
        refused(mia("new", "protocol", "--data", root, "--out", tmp_path / "other.toml"), word)
    assert not (tmp_path / "other.toml").exists()


def test_changed_photos_are_refused(tmp_path):
    root = face_folder(tmp_path / "faces", {f"p{i}": 5 for i in range(4)})
    file = written(tmp_path, toml_for(root))
    (root / "p0" / "00.png").write_bytes((root / "p1" / "00.png").read_bytes())
    with pytest.raises(RequestError, match="not those this protocol was written for"):
        splits.make(protocol.load(str(file)), "A")


def test_folders_without_enough_people(tmp_path):
    refused(mia("new", "protocol", "--data", tmp_path / "nowhere"), "nowhere", "no such folder")
    (tmp_path / "empty").mkdir()
    refused(mia("new", "protocol", "--data", tmp_path / "empty"), "holds no people")
    one = face_folder(tmp_path / "one", {"alice": 9})
    refused(mia("new", "protocol", "--data", one), "one has 1 people")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("beta = 0.05", "betta = 0.05", ("generators.vae.vae.betta", "not permitted")),
        ("latent = 32", 'latent = "many"', ("generators.vae.vae.latent", "integer")),
        ("seed = 1\n", "seed = true\n", ("split.seed", "integer")),
        ("targets = ", "targets = -", ("split.targets", "greater")),
        ("image = [32, 32]", "image = [30, 32]", ("divisible by 8",)),
        ("[run]", "[runn]", ("runn", "not permitted")),
        ("schema = 2", "schema = 3", ("schema",)),
        ("schema = 2", "schema = 1", ("schema 1", "[generators.vae]")),
        ("schema = 2", "schema = ", ("is not TOML",)),
    ],
)
def test_a_wrong_protocol_file_names_the_key(tmp_path, old, new, words):
    root = face_folder(tmp_path / "faces", {f"p{i}": 4 for i in range(4)})
    text = toml_for(root)
    assert old in text
    file = written(tmp_path, text.replace(old, new))
    with pytest.raises(RequestError) as caught:
        protocol.load(str(file))
    for word in (str(file), *words):
        assert word in str(caught.value)


def test_unknown_protocols(tmp_path):
    refused(mia("run", "--protocol", "olr"), "unknown protocol 'olr'", "orl")
    refused(mia("run", "--protocol", tmp_path / "none.toml"), "none.toml", "No such file")


@pytest.mark.parametrize(
    ("counts", "folds", "targets", "min_photos"),
    [
        ([64] * 38, 2, 19, 20),  # many photos of everybody
        ([30] * 100, 2, 50, 20),
        ([10] * 1000, 2, 50, 10),
        ([100] * 9 + [1] * 191, 1, 9, 20),  # few people with many photos
        ([30] * 11 + [1] * 3, 1, 7, 20),  # so few others that some who could be enrolled stay public
        ([5] * 31 + [1] * 9, 1, 20, 4),
        ([4] * 4, 2, 2, 4),
    ],
)
def test_the_proposed_division_fits_the_people(tmp_path, counts, folds, targets, min_photos):
    people = {f"p{i}": count for i, count in enumerate(counts)}
    division = propose._divide(people, tmp_path)
    assert (len(division.folds), division.targets, division.min_photos) == (folds, targets, min_photos)
    assert propose._public_photos(people, division) >= propose.LEAST_PUBLIC


def test_16_bits_and_rotation_are_understood(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 32), (32, 1)).astype(np.uint16)
    deep, turned = tmp_path / "deep.png", tmp_path / "turned.jpg"
    Image.fromarray(ramp).save(deep)
    rotated = Image.Exif()
    rotated[0x0112] = 3
    Image.fromarray((ramp // 257).astype(np.uint8)).save(turned, exif=rotated, quality=95)
    first, second = (np.asarray(grey(file.read_bytes(), file), dtype=int) for file in (deep, turned))
    assert abs(first - (ramp // 257)).max() <= 1
    assert abs(second - (ramp // 257)[:, ::-1]).max() <= 8


def test_a_photo_with_damaged_exif_is_named(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    photo = tmp_path / "photo.jpg"
    Image.new("L", (8, 8)).save(photo, exif=exif)
    damaged = photo.read_bytes().replace(b"\x01\x0f\x00\x02", b"\x01\x01\x00\x02")  # the maker becomes the height
    assert damaged != photo.read_bytes()
    with pytest.raises(RequestError, match=r"photo\.jpg cannot be decoded"):
        grey(damaged, photo)


def test_blur_takes_detail_and_leaves_brightness():
    images = torch.rand(16, 1, 24, 32, generator=torch.Generator().manual_seed(0))
    still = protocol.Augmentation(flip=False)
    with training.seeded(1):
        blurred = training.augment(images, still.model_copy(update={"blur": 0.2}))
    assert blurred.shape == images.shape
    assert torch.allclose(training.augment(images, still), images, atol=1e-5)
    kept = blurred.flatten(1).std(1) / images.flatten(1).std(1)
    assert float(kept.min()) < 0.2, "up to 0.2 x 24 pixels: hardly anything is left of noise"
    assert len(kept.unique()) == len(kept), "each image has its own"
    assert torch.allclose(blurred.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.05)


def test_a_recipe_without_blur_is_dumped_as_before_there_was_one():
    """So that its hash, and that of its protocol, stays: weights pinned and records published under it stay valid."""
    assert "blur" not in protocol.Augmentation().model_dump(mode="json")
    assert "blur" not in protocol.Augmentation().model_dump_json()
    assert protocol.Augmentation(blur=0.1).model_dump(mode="json")["blur"] == 0.1


def test_a_recogniser_with_mirror_answers_alike_for_both_images(lab):
    recipe = lab.protocol.evaluator
    assert "mirror" not in recipe.model_dump(mode="json")
    with training.seeded(1):
        net = training.recogniser((32, 32), 7, recipe.model_copy(update={"mirror": True})).eval()
        images = torch.rand(4, 1, 32, 32)
    plain = training.recogniser((32, 32), 7, recipe).eval()
    plain.load_state_dict(net.state_dict())
    assert torch.allclose(net(images), net(images.flip(3)), atol=1e-5)
    assert torch.allclose(net(images), (plain(images) + plain(images.flip(3))) / 2, atol=1e-5)
    assert not torch.allclose(plain(images), plain(images.flip(3)), atol=1e-5)


def test_weights_pinned_for_another_split_are_refused(lab):
    protocol_ = lab.protocol
    other = protocol_.model_copy(update={"split": protocol_.split.model_copy(update={"seed": 7})})
    with pytest.raises(RequestError, match="trained with another recipe, seed or photos"):
        Laboratory(other, lab.engine).figures("A")


def test_lfw(lfw):
    """The folder reader and the proposal on thousands of real photos."""
    found = readers.folder(lfw)
    assert len(found.people) == 5749
    division = propose._divide({person: len(files) for person, files in found.people.items()}, lfw)
    assert division.min_photos == 20
    assert division.targets == 50
    assert propose._public_photos({person: len(files) for person, files in found.people.items()}, division) > 9_000
    assert division.folds == ("A",)


def test_the_lfw_protocol_divides_its_people_as_its_text_says(lfw):
    """Q1 everyone with fewer than 20 photos; Q2 and Q3 share the targets and no photo (asserted in the split)."""
    split = splits.make(protocol.load("lfw", lfw), "A")
    assert (len(split.targets), split.q2.classes, split.q3.classes) == (20, 41, 41)
    assert set(split.q2.people) & set(split.q3.people) == set(split.targets)
    assert split.q1.classes == 5749 - 62
    assert len(split.q1) == 10_210


def test_a_targets_photos_are_halved_and_others_keep_some_for_testing(tmp_path):
    root = face_folder(tmp_path / "faces", {f"p{i}": 12 if i < 3 else 10 for i in range(9)} | {"q": 3, "r": 3})
    text = toml_for(root)
    rules = {"targets": 2, "min_photos": 10, "q2_photos": 99, "q3_photos": 99, "q1_photos": 5}
    for key, value in rules.items():
        text = re.sub(rf"^{key} = \d+", f"{key} = {value}", text, flags=re.M)
    extra = "min_target_photos = 12\nq2_others = 2\nq3_others = 2\ntest_photos = 4"
    text = re.sub(r"^folds = .*$", f'folds = ["A"]\n{extra}', text, flags=re.M)
    split = splits.make(protocol.load(str(written(tmp_path, text))), "A")
    assert set(split.targets) <= {"p0", "p1", "p2"}
    for photos in (split.q2, split.q3):
        assert photos.classes == 4
        assert {len(photos.of(person)) for person in split.targets} == {6}
        assert {len(photos.of(person)) for person in set(photos.people) - set(split.targets)} <= {8, 9}
    assert {len(split.q2_test.of(person)) for person in split.targets} == {4}
    assert {len(split.q2_test.of(person)) for person in split.q2.people} <= {2, 3, 4}


def test_folders_in_the_place_of_photos_are_named(tmp_path):
    """An unprepared VGGFace2 has its people one folder deeper."""
    for part in ("train", "test"):
        face_folder(tmp_path / "vggface2" / part, {f"n00000{i}": 3 for i in range(3)})
    unprepared = tmp_path / "vggface2"
    refused(mia("train", "--protocol", "vggface2", "--data", unprepared), "test holds folders", "data prepare")
