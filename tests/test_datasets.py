"""Every layout is read as its owner lays it out, and everything wrong is named before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.datasets import open_dataset
from models.datasets.__main__ import main
from models.datasets.errors import (
    AnnotationError,
    ClassMapError,
    DatasetError,
    DatasetProblems,
    LabelIdError,
    LayoutError,
    MissingPartner,
    PixelFormatError,
    SizeMismatch,
    UnmappedClass,
    UnreadablePicture,
)
from models.datasets.mfnet import CLASSES as MFNET
from models.datasets.plain import read_folder
from models.datasets.registry import find_reader, readers
from models.datasets.unlabelled import read_unlabelled
from models.datasets.video import read_video

SIZE = (48, 64)  # rows, columns
Picture = NDArray[np.uint8]


def noise(seed: int, channels: int = 0, size: tuple[int, int] = SIZE) -> Picture:
    shape = (*size, channels) if channels else size
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def stripes(ids: int, size: tuple[int, int] = SIZE) -> Picture:
    """Return a label in which each of the ids 0 to ids - 1 fills columns."""
    return np.tile(np.arange(size[1]) * ids // size[1], (size[0], 1)).astype(np.uint8)


def save(path: Path, picture: Picture, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture)
    if palette:  # colours say nothing about ids: 255 - id
        image.putpalette([255 - level // 3 for level in range(768)])
    image.save(path, quality=100)


def write_mfnet(root: Path) -> None:
    for number, name in enumerate(('00001D', '00002N', '00003D')):
        save(root / 'images' / f'{name}.png', noise(number, 4))
        save(root / 'labels' / f'{name}.png', stripes(9))
    (root / 'train.txt').write_text('00001D\n00002N\n00001D_flip\n00002N_flip\n')
    (root / 'val.txt').write_text('00003D\n')
    (root / 'test.txt').write_text('00003D\n\n')
    (root / 'test_night.txt').write_text('')


def write_kinds(root: Path, kinds: tuple[str, ...], ids: int, name: str = '00001D') -> None:
    save(root / kinds[0] / f'{name}.png', noise(1, 3))
    save(root / kinds[1] / f'{name}.png', noise(2))
    if len(kinds) > 2:
        save(root / kinds[2] / f'{name}.png', stripes(ids), palette=True)


def write_msrs(root: Path) -> None:
    for split in ('train', 'test'):
        write_kinds(root / split, ('vi', 'ir', 'Segmentation_labels'), 9)


def write_fmb(root: Path) -> None:
    for split in ('train', 'test'):
        write_kinds(root / split, ('Visible', 'Infrared', 'Label'), 15, '00012')


BOX = '<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>'


def boxes(*objects: tuple[str, int, int, int, int]) -> str:
    things = ''.join(BOX.format(*each) + '</bndbox></object>' for each in objects)
    return f'<annotation>{things}</annotation>'


def write_m3fd(root: Path) -> None:
    write_kinds(root, ('Vis', 'Ir'), 0, '00000')
    (root / 'Annotation').mkdir()
    text = boxes(('People', 11, 6, 20, 25), ('Car', 1, 1, 40, 40), ('Lamp', 60, 1, 65, 5))
    (root / 'Annotation' / '00000.xml').write_text(text)


def write_roadscene(root: Path) -> None:
    save(root / 'cropinfrared' / 'FLIR_1.jpg', noise(1))
    save(root / 'crop_HR_visible' / 'FLIR_1.jpg', noise(2, 3, (90, 150)))


def write_plain(root: Path) -> None:
    write_kinds(root, ('vi', 'ir', 'label'), 4)


def write_unlabelled(root: Path) -> None:
    write_kinds(root, ('vi', 'ir'), 0)


def write_camvid(root: Path) -> None:
    for split in ('train', 'val', 'test'):
        save(root / split / 'vi' / 'a.png', noise(3, 3, (64, 80)))
        save(root / split / 'label' / 'a.png', stripes(12, (64, 80)), palette=True)


def write_film(path: Path, frames: int, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, size[::-1])
    for number in range(frames):
        film.write(np.full((*size, 3), 20 * number, np.uint8))
    film.release()


def write_video(root: Path) -> None:
    write_film(root / 'walk_visible.mp4', 8)
    write_film(root / 'walk_infrared.mp4', 7)


WRITERS: dict[str, Callable[[Path], None]] = {
    'mfnet': write_mfnet,
    'msrs': write_msrs,
    'fmb': write_fmb,
    'm3fd': write_m3fd,
    'roadscene': write_roadscene,
    'folder': write_plain,
    'unlabelled': write_unlabelled,
    'camvid': write_camvid,
    'video': write_video,
}


def test_every_reader_has_a_layout_here() -> None:
    assert {reader.name for reader in readers()} == {*WRITERS, 'm3fd-boxes'}


@pytest.mark.parametrize('name', WRITERS)
def test_layouts_are_found_out_and_read(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    assert find_reader(str(tmp_path))[0].name == name
    pairs = open_dataset(str(tmp_path))
    assert pairs
    for pair in pairs:
        assert pair.visible.dtype == pair.thermal.dtype == pair.label.dtype == np.uint8
        assert pair.visible.shape == (*pair.thermal.shape, 3)
        assert pair.label.shape == pair.thermal.shape
        assert set(np.unique(pair.label)) <= {0, 1, 2, 3, 255}
    assert len({pair.name for pair in pairs}) == len(pairs)
    named = open_dataset(f'{name}:{tmp_path}')
    assert all(np.array_equal(a.thermal, b.thermal) for a, b in zip(pairs, named, strict=True))


def test_mfnet_splits_channels_and_ids(tmp_path: Path) -> None:
    write_mfnet(tmp_path)
    pairs = open_dataset(str(tmp_path), 'train', 9)  # its own nine classes
    assert [pair.name.split('/')[-1] for pair in pairs] == ['00001D', '00002N']
    assert np.array_equal(pairs[1].visible, noise(1, 4)[..., :3])
    assert np.array_equal(pairs[1].thermal, noise(1, 4)[..., 3])
    assert np.array_equal(pairs[0].label, stripes(9))
    four = open_dataset(str(tmp_path), 'train', 4)[0].label
    assert np.array_equal(four, np.where(stripes(9) <= 3, stripes(9), 0))
    assert open_dataset(str(tmp_path), 'test_night') == []
    assert len(open_dataset(str(tmp_path))) == 3  # a name in two lists is one pair


def test_class_tables(tmp_path: Path) -> None:
    write_fmb(tmp_path)
    label = open_dataset(str(tmp_path), 'test')[0].label
    source = stripes(15)
    for target, ids in ((1, (9, 10, 11)), (2, (8,)), (3, (12, 13))):
        assert np.array_equal(label == target, np.isin(source, ids))
    # The names decide, not the places: here 'car' is 2, and trucks have a class of their own.
    names = ['background', 'person', 'car', 'truck', 'bike']
    label = open_dataset(str(tmp_path), 'test', names)[0].label
    assert label[source == 9].max() == 2
    assert label[source == 10].max() == label[source == 10].min() == 3
    table = {'person': 'ignore', 'motorcycle': 'background', 'bicycle': 'background'}
    label = open_dataset(str(tmp_path), 'test', ['background', 'car'], table)[0].label
    assert set(label[source == 8]) == {255}


def test_classes_are_never_dropped_in_silence(tmp_path: Path) -> None:
    write_fmb(tmp_path)
    with pytest.raises(UnmappedClass, match='person, motorcycle, bicycle') as caught:
        open_dataset(str(tmp_path), 'test', 2)
    assert caught.value.names == ('person', 'motorcycle', 'bicycle')
    with pytest.raises(ClassMapError, match='no classes tractor'):
        open_dataset(str(tmp_path), 'test', 4, {'tractor': 'car'})
    with pytest.raises(ClassMapError, match='7 classes without names'):
        open_dataset(str(tmp_path), 'test', 7)
    write_plain(tmp_path / 'plain')
    with pytest.raises(ClassMapError, match="the network's own"):
        open_dataset(str(tmp_path / 'plain'), 'all', 4, {'car': 'person'})


def test_msrs_uses_mfnets_ids_and_day_and_night(tmp_path: Path) -> None:
    write_msrs(tmp_path)
    summary = find_reader(str(tmp_path))[0].check(tmp_path, 'all', MFNET)
    assert summary.times == {'day': 2}
    assert summary.pixels[8] == 2 * np.count_nonzero(stripes(9) == 8)


def test_m3fd_boxes_fill_and_the_smaller_lie_on_top(tmp_path: Path) -> None:
    write_m3fd(tmp_path)
    assert open_dataset(str(tmp_path))[0].label.min() == 255
    label = open_dataset(f'm3fd-boxes:{tmp_path}')[0].label
    expected = np.zeros(SIZE, np.uint8)
    expected[0:40, 0:40] = 1  # VOC counts from 1 and includes the last
    expected[5:25, 10:20] = 2
    assert np.array_equal(label, expected)
    with pytest.raises(LayoutError, match=r'meta/train\.txt'):
        open_dataset(str(tmp_path), 'train')
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta' / 'train.txt').write_text('00000.png\n')
    assert len(open_dataset(str(tmp_path), 'train')) == 1
    (tmp_path / 'meta' / 'train.txt').write_text('00000.png\n00001.png\n')
    with pytest.raises(MissingPartner, match='00001'):
        open_dataset(str(tmp_path), 'train')


@pytest.mark.parametrize(
    ('text', 'what'),
    [
        ('<annotation>', 'no XML'),
        (boxes(('Dog', 1, 1, 5, 5)), "'Dog'"),
        (boxes(('Car', 1, 1, 80, 20)), 'a box'),
        (boxes(('Car', 20, 1, 20, 0)), 'a box'),
        ('<annotation><object><name>Car</name></object></annotation>', 'without numbers'),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', 'document type'),
        (' ' * ((1 << 20) + 1), 'bytes'),
    ],
)
def test_bad_annotations(text: str, what: str, tmp_path: Path) -> None:
    write_m3fd(tmp_path)
    (tmp_path / 'Annotation' / '00000.xml').write_text(text)
    with pytest.raises(AnnotationError, match=what):
        open_dataset(f'm3fd-boxes:{tmp_path}')


def test_m3fd_boxes_need_annotations(tmp_path: Path) -> None:
    write_m3fd(tmp_path)
    (tmp_path / 'Annotation' / '00000.xml').unlink()
    with pytest.raises(MissingPartner, match='Annotation'):
        open_dataset(f'm3fd-boxes:{tmp_path}')


def test_roadscene_takes_the_registered_pictures_first(tmp_path: Path) -> None:
    write_roadscene(tmp_path)
    assert open_dataset(str(tmp_path))[0].visible.shape == (*SIZE, 3)  # reduced
    flat = np.full((*SIZE, 3), 99, np.uint8)
    save(tmp_path / 'crop_LR_visible' / 'FLIR_1.jpg', flat)
    assert np.array_equal(open_dataset(str(tmp_path))[0].visible, flat)
    save(tmp_path / 'crop_LR_visible' / 'FLIR_1.jpg', flat[:-1])
    with pytest.raises(SizeMismatch):
        open_dataset(str(tmp_path))


def test_films(tmp_path: Path) -> None:
    write_video(tmp_path)
    pairs = read_video(tmp_path, every=3)
    assert [pair.name.split('/')[-1] for pair in pairs] == ['0', '3', '6']
    assert abs(int(pairs[2].thermal.mean()) - 120) < 6
    assert pairs[0].label.min() == 255
    with pytest.raises(DatasetError, match='every is 0'):
        read_video(tmp_path, every=0)
    write_film(tmp_path / 'walk_infrared.mp4', 7, (32, 32))
    with pytest.raises(SizeMismatch):
        read_video(tmp_path)
    (tmp_path / 'walk_infrared.mp4').write_bytes(b'nothing')
    with pytest.raises(UnreadablePicture):
        read_video(tmp_path)
    (tmp_path / 'walk_infrared.mp4').unlink()
    with pytest.raises(MissingPartner, match='walk'):
        read_video(tmp_path)
    (tmp_path / 'walk_visible.mp4').unlink()
    with pytest.raises(LayoutError, match='no films'):
        read_video(tmp_path)


def broken(change: str, root: Path) -> None:
    """Break one of the files of write_plain."""
    vi, ir, label = (root / kind / '00001D.png' for kind in ('vi', 'ir', 'label'))
    if change == 'grey visible':
        save(vi, noise(1))
    elif change == 'coloured thermal':
        save(ir, noise(1, 3))
    elif change == '16 bit thermal':
        cv2.imwrite(str(ir), np.full(SIZE, 30000, np.uint16))
    elif change == 'coloured label':
        save(label, noise(1, 3))
    elif change == 'size':
        save(ir, noise(1)[:-1])
    elif change == 'id':
        save(label, stripes(7))
    elif change == 'no picture':
        vi.write_bytes(b'GIF?')
    elif change == 'cut off label':
        label.write_bytes(label.read_bytes()[:-20])
    elif change == 'cut off thermal':
        ir.write_bytes(ir.read_bytes()[:-900])
    elif change == 'partner':
        ir.rename(ir.with_name('00002N.png'))
    elif change == 'empty':
        vi.unlink()


@pytest.mark.parametrize(
    ('change', 'error', 'what'),
    [
        ('grey visible', PixelFormatError, r'visible picture is grey \(L\).*RGB'),
        ('coloured thermal', PixelFormatError, 'thermal picture has colours'),
        ('16 bit thermal', PixelFormatError, r'16.*bit.*8 bit.*Agc'),
        ('coloured label', PixelFormatError, 'label has colours'),
        ('size', SizeMismatch, r'visible 48x64.*thermal 47x64.*must be equal'),
        ('id', LabelIdError, r'ids \[4, 5, 6\].*0 to 3 and 255'),
        ('no picture', UnreadablePicture, 'no picture'),
        ('cut off label', UnreadablePicture, 'decoded'),
        ('cut off thermal', UnreadablePicture, 'decoded'),
        ('partner', MissingPartner, "2 names lack a partner.*'00001D'"),
        ('empty', LayoutError, 'no pictures in vi/'),
    ],
)
def test_what_is_wrong_is_named(
    change: str, error: type[DatasetError], what: str, tmp_path: Path
) -> None:
    write_plain(tmp_path)
    broken(change, tmp_path)
    with pytest.raises(error, match=what) as caught:
        read_folder(tmp_path, 4)
    assert str(caught.value.path).startswith(str(tmp_path))
    assert caught.value.found in str(caught.value)
    assert caught.value.allowed in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FileNotFoundError) == (error in (MissingPartner, LayoutError))


def test_a_cut_off_jpeg_is_no_picture(tmp_path: Path) -> None:
    write_unlabelled(tmp_path)
    for kind, channels in (('vi', 3), ('ir', 0)):
        (tmp_path / kind / '00001D.png').unlink()
        save(tmp_path / kind / 'a.jpg', noise(1, channels))
    path = tmp_path / 'vi' / 'a.jpg'
    path.write_bytes(path.read_bytes()[:3000])
    assert cv2.imread(str(path)) is not None  # OpenCV takes it
    with pytest.raises(UnreadablePicture):
        read_unlabelled(tmp_path)


def test_thermal_in_three_equal_channels_is_grey(tmp_path: Path) -> None:
    write_plain(tmp_path)
    save(tmp_path / 'ir' / '00001D.png', np.repeat(noise(5)[..., None], 3, 2))
    assert np.array_equal(read_folder(tmp_path, 4)[0].thermal, noise(5))


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    for number in range(14):
        write_kinds(tmp_path, ('vi', 'ir', 'label'), 4, f'{number:05d}N')
    for number in range(12):
        save(tmp_path / 'label' / f'{number:05d}N.png', stripes(6))
    (tmp_path / 'ir' / '00013N.png').unlink()
    with pytest.raises(DatasetProblems, match='13 problems') as caught:
        read_folder(tmp_path, 4)
    kinds = [type(problem) for problem in caught.value.problems]
    assert kinds == [MissingPartner] + 12 * [LabelIdError]
    assert str(caught.value).count('\n') == 11  # ten, and how many more
    assert 'and 3 more' in str(caught.value)


def test_mfnet_lists_and_files_must_agree(tmp_path: Path) -> None:
    write_mfnet(tmp_path)
    (tmp_path / 'labels' / '00002N.png').unlink()
    with pytest.raises(MissingPartner, match=r'00002N\.png.*train\.txt'):
        open_dataset(str(tmp_path), 'train')
    (tmp_path / 'val.txt').unlink()
    with pytest.raises(LayoutError, match=r'val\.txt'):
        open_dataset(str(tmp_path), 'val')
    save(tmp_path / 'images' / '00001D.png', noise(0, 3))
    with pytest.raises(DatasetProblems, match='RGBA'):
        open_dataset(str(tmp_path), 'train')


def test_unknown_folders_and_names(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match='looked for') as caught:
        open_dataset(str(tmp_path))
    assert all(reader.layout in str(caught.value) for reader in readers())
    with pytest.raises(LayoutError, match=r'unknown data set .kitti.*mfnet'):
        open_dataset(f'kitti:{tmp_path}')
    with pytest.raises(LayoutError, match='no such folder'):
        open_dataset(str(tmp_path / 'missing'))
    write_msrs(tmp_path)
    with pytest.raises(LayoutError, match=r"no split 'val'.*train, test, all"):
        open_dataset(str(tmp_path), 'val')
    with pytest.raises(LayoutError, match='Visible'):
        open_dataset(f'fmb:{tmp_path}')


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plain(tmp_path / 'good')
    assert main([str(tmp_path / 'good')]) == 0
    shown = capsys.readouterr().out
    assert 'pairs   1 (day 1)' in shown
    assert '64x48: 1' in shown
    assert '3 25.00 %' in shown
    write_plain(tmp_path / 'bad')
    broken('id', tmp_path / 'bad')
    assert main([str(tmp_path / 'bad'), str(tmp_path / 'good')]) == 1
    streams = capsys.readouterr()
    assert 'ids [4, 5, 6]' in streams.err
    assert '64x48' in streams.out  # the others are still looked at
    assert main([str(tmp_path)]) == 2
    write_fmb(tmp_path / 'fmb')
    assert main([str(tmp_path / 'fmb'), '--classes', 'background,car,person']) == 2
    ways = ['--map', 'motorcycle=ignore', '--map', 'bicycle=ignore']
    assert main([str(tmp_path / 'fmb'), '--classes', 'background,car,person', *ways]) == 0
    assert 'ignored' in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path), '--map', 'car'])
    assert caught.value.code == 2


@pytest.mark.parametrize('name', ['train', 'roadscene', 'video', 'tno_salient/train', 'camvid'])
def test_the_data_at_hand_passes(name: str) -> None:
    folder = Path(__file__).parents[2] / 'shared' / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'{folder} is not here')
    split = 'val' if name == 'camvid' else 'all'
    reader, place = find_reader(str(folder))
    summary = reader.check(place, split, 4)
    expected = {'train': 182, 'roadscene': 200, 'tno_salient/train': 16, 'camvid': 101}
    assert summary.pairs == expected.get(name, summary.pairs)
    assert summary.pairs >= 16
