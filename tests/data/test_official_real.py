"""The lists that are really distributed: class order, mirrored classes, and agreement between lists.

See ../shared/data/README.md; the files are not part of the repository.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from study.data.datasets.hmdb51 import CLASSES as HMDB51_CLASSES
from study.data.datasets.hmdb51 import HMDB51Dataset
from study.data.datasets.jester import JesterDataset
from study.data.datasets.labels import build_flip_map
from study.data.datasets.something import MIRRORED
from study.data.datasets.something_v1 import SomethingV1Dataset
from study.data.datasets.something_v2 import SomethingV2Dataset
from study.data.datasets.ucf101 import UCF101Dataset
from study.data.list_file import read_rows
from study.spec.datasets import HMDB51, UCF101, Jester, SomethingV1, SomethingV2
from tests.data.test_official import open_source

V1 = "something-something-v1-{}.csv"
HEAD = "massaging person's head"


def link(root: Path, source: Path, names: dict[str, str]) -> Path:
    """Give real heads of lists the names of whole ones."""
    root.mkdir(parents=True, exist_ok=True)
    for ours, theirs in names.items():
        (root / ours).symlink_to(source / theirs)
    return root


@pytest.fixture(name="annotations")
def fixture_annotations(shared_dir: Path) -> Path:
    return shared_dir / "data" / "annotations"


@pytest.fixture
def real_v1(annotations: Path, tmp_path: Path) -> Path:
    names = {V1.format("labels"): V1.format("labels")}
    names |= {V1.format(split): V1.format(f"{split}.head") for split in ("train", "validation")}
    return link(tmp_path / "v1", annotations / "something_v1", names)


@pytest.fixture
def real_v2(annotations: Path, tmp_path: Path) -> Path:
    head = "something-something-v2-validation.head.json"
    names = {"labels.json": "something-something-v2-labels.json", "validation.json": head, "train.json": head}
    return link(tmp_path / "v2", annotations / "something_v2", names)


def open_v1(root: Path, order: str) -> SomethingV1Dataset:
    spec = SomethingV1.model_validate({"type": "something_v1", "root": root, "label_order": order})
    return SomethingV1Dataset(spec, root)


@pytest.mark.shared
def test_sorted_v1_is_the_order_of_v2(real_v1: Path, real_v2: Path) -> None:
    v2 = SomethingV2Dataset(SomethingV2(type="something_v2", root=real_v2), real_v2)
    ours, filed = open_v1(real_v1, "sorted"), open_v1(real_v1, "file")
    assert ours.classes == v2.classes != filed.classes
    assert (len(v2.classes), v2.classes[0]) == (174, "Approaching something with your camera")
    assert filed.classes[0] == "Holding something"
    assert build_flip_map(v2.classes, MIRRORED, "") == {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}
    assert build_flip_map(filed.classes, MIRRORED, "") == {2: 4, 4: 2, 30: 41, 41: 30, 52: 66, 66: 52}


@pytest.mark.shared
def test_lists_of_tsn_have_the_sorted_labels(real_v1: Path, annotations: Path) -> None:
    listed = {one.video_id: one.label for one in open_v1(real_v1, "sorted").read_split("val", 1)}
    rows = read_rows(annotations / "something_v1" / "tsn_list_val.head.txt", "tsn")
    shared = {Path(row.path).name: int(row.label) for row in rows if Path(row.path).name in listed}
    assert len(shared) == 20
    assert shared == {name: listed[name] for name in shared}
    filed = {one.video_id: one.label for one in open_v1(real_v1, "file").read_split("val", 1)}
    assert shared != {name: filed[name] for name in shared}


@pytest.mark.shared
def test_real_v2_entries_find_their_templates(real_v2: Path, annotations: Path) -> None:
    v2 = SomethingV2Dataset(SomethingV2(type="something_v2", root=real_v2), real_v2)
    listed = v2.read_split("val", 1)
    path = annotations / "something_v2" / "something-something-v2-validation.head.json"
    videos = json.loads(path.read_text())
    lines = path.read_text().splitlines()
    assert len(listed) == len(videos) > 20
    for one, video in zip(listed, videos, strict=True):
        assert one.video_id == video["id"]
        assert video["id"] in lines[one.line]
        assert v2.classes[one.label].replace("something", "X") == _blank(video["template"])


def _blank(template: str) -> str:
    """A template with every gap, and every plain "something", as X."""
    return template.replace("[", "").replace("]", "").replace("something", "X")


@pytest.mark.shared
def test_real_jester(annotations: Path, tmp_path: Path) -> None:
    names = {"jester-v1-labels.csv": "jester-v1-labels.csv"}
    names |= {f"jester-v1-{split}.csv": f"jester-v1-{split}.head.csv" for split in ("train", "validation")}
    root = link(tmp_path / "jester", annotations / "jester", names)
    source = JesterDataset(Jester(type="jester", root=root), root)
    assert source.classes[0] == "Doing other things"
    assert (source.classes[7], source.classes[14]) == ("Rolling Hand Backward", "Stop Sign")
    expected = {11: 12, 12: 11, 16: 17, 17: 16, 21: 22, 22: 21}
    assert build_flip_map(source.classes, source.mirrored, "") == expected
    listed = source.read_split("val", 1)
    assert [(one.video_id, source.classes[one.label]) for one in listed[:2]] == [
        ("9223", "Thumb Up"),
        ("107090", "Pushing Two Fingers Away"),
    ]
    assert len(listed) == 40


@pytest.mark.shared
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_real_ucf101(annotations: Path, tmp_path: Path, fold: int) -> None:
    names = {"classInd.txt": "classInd.txt"}
    names |= {f"{part}list0{fold}.txt": f"{part}list0{fold}.head.txt" for part in ("train", "test")}
    root = link(tmp_path / "ucf101", annotations / "ucf101", names)
    source = UCF101Dataset(UCF101(type="ucf101", root=root, fold=fold), root)
    assert (source.classes[0], source.classes[36], source.classes[100]) == (
        "ApplyEyeMakeup",
        "HandstandPushups",
        "YoYo",
    )
    train, val = source.read_split("train", fold), source.read_split("val", fold)
    assert (len(train), len(val)) == (40, 40)
    for one in (*train, *val):
        assert source.classes[one.label] == one.video_id.partition("/")[0]
    assert {1: "08", 2: "01", 3: "01"}[fold] in train[0].video_id.split("_")[2]


@pytest.mark.shared
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_real_hmdb51(annotations: Path, tmp_path: Path, fold: int) -> None:
    splits = annotations / "hmdb51" / "splits"
    real = {path.name: path.name for path in splits.glob(f"*_test_split{fold}.txt")}
    root = link(tmp_path / "hmdb51" / "splits", splits, real).parent
    for name in HMDB51_CLASSES:
        path = root / "splits" / f"{name}_test_split{fold}.txt"
        if not path.exists():
            path.write_text("unused.avi 0 \n")
    source = HMDB51Dataset(HMDB51(type="hmdb51", root=root, fold=fold), root)
    counts = {split: len(source.read_split(split, fold)) for split in ("train", "val")}
    # 70 training and 30 test videos of each of the four classes that are at hand.
    assert len(real) == 4
    assert counts == {"train": 280, "val": 120}
    odd = "climb_stairs/Baddest_Fight_Scenes_EVER!_-_Kill_Bill__Vol___1_-_vs__Crazy_88_s_climb_stairs_f_nm_np1_fr_med_3"
    assert odd in {one.video_id for split in counts for one in source.read_split(split, fold)}


@pytest.mark.shared
def test_real_kinetics_classes_are_sorted(annotations: Path, tmp_path: Path) -> None:
    names = (annotations / "kinetics400" / "classes_sorted.txt").read_text().splitlines()
    for file, split in (("train", "train"), ("validate", "validate")):
        with (tmp_path / f"{file}.csv").open("w", newline="") as stream:
            rows = csv.writer(stream, quoting=csv.QUOTE_ALL)
            rows.writerow(["label", "youtube_id", "time_start", "time_end", "split", "is_cc"])
            rows.writerows(
                [name, f"{split}{n:06d}", 7, 17, split, 0] for n, name in enumerate(reversed(names))
            )
    source = open_source({"type": "kinetics400", "root": tmp_path})
    assert source.classes == tuple(names)
    folder = tmp_path / "train" / "massaging_person's_head"
    folder.mkdir(parents=True)
    for split in ("train", "validate"):
        (folder / f"{split}{399 - names.index(HEAD):06d}_000007_000017.mp4").touch()
    listing = source.listing()
    assert [listing.classes[one.label] for one in (*listing.train, *listing.val)] == [HEAD, HEAD]
    assert len(listing.excluded) == 2 * 399
