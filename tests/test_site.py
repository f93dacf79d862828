"""The site of docs/, built strictly once; its hook; and the table of networks."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import yaml

from models.evaluation import choose, pages, robustness
from tools import how_drawing, module_table

ROOT = Path(__file__).resolve().parents[1]
MKDOCS = all(importlib.util.find_spec(n) for n in ('mkdocs', 'material', 'mkdocstrings'))
needs_mkdocs = pytest.mark.skipif(not MKDOCS, reason='requirements/docs.txt is not installed')


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('site')
    result = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        # Where there is no network, nothing may be asked from it.
        env={**os.environ, 'NO_MKDOCS_2_WARNING': '1', 'https_proxy': 'http://127.0.0.1:9'},
    )
    assert result.returncode == 0, result.stderr
    assert 'WARNING' not in result.stderr
    return folder


@needs_mkdocs
def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    pages = {path.stem for path in (ROOT / 'docs').glob('*.md')}
    built = {path.stem for path in site.glob('*.html')}
    assert pages <= built
    start = (site / 'index.html').read_text('utf-8')
    missing = [page for page in sorted(pages) if f'href="{page}.html"' not in start]
    assert missing == []
    for name in ('CONTRIBUTING', 'QUALITY_DECLARATION', 'SECURITY'):
        assert (site / 'repository' / f'{name}.html').is_file()


@needs_mkdocs
def test_every_page_can_be_found(site: Path) -> None:
    index = json.loads((site / 'search' / 'search_index.json').read_text('utf-8'))
    found = {entry['location'].split('#')[0] for entry in index['docs']}
    pages = {f'{path.stem}.html' for path in (ROOT / 'docs').glob('*.md')}
    assert pages | {'repository/index.html'} <= found


@needs_mkdocs
def test_pages_ask_nothing_from_other_servers(site: Path) -> None:
    for page in site.glob('**/*.html'):
        text = page.read_text('utf-8')
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="https?:', text), page
        assert not re.findall(r'<link[^>]+rel="(?:stylesheet|preconnect)"[^>]+href="http', text)


@needs_mkdocs
def test_the_api_page_has_the_names_and_their_descriptions(site: Path) -> None:
    text = re.sub('<[^>]+>', '', (site / 'api.html').read_text('utf-8'))
    for word in ('make_engine', 'parallax_px', 'CalibrationError', 'nearest', 'Raises'):
        assert word in text, word


def test_links_out_of_docs_lead_into_the_site() -> None:
    pytest.importorskip('mkdocs', reason='requirements/docs.txt is not installed')
    spec = importlib.util.spec_from_file_location('site_links', ROOT / 'tools/site_links.py')
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)

    def rewritten(text: str, uri: str) -> str:
        page = SimpleNamespace(file=SimpleNamespace(src_uri=uri))
        return hook.on_page_markdown(text, page, None, None)

    assert rewritten('[a](../README.md#x)', 'node.md') == '[a](repository/README.md#x)'
    assert rewritten('[a](docs/node.md)', 'repository/README.md') == '[a](../node.md)'
    assert rewritten('[a](dds.md#b) [c](https://x.org)', 'node.md') == (
        '[a](dds.md#b) [c](https://x.org)'
    )
    code = '```\n[a](../README.md)\n```'
    assert rewritten(code, 'node.md') == code
    # MkDocs warns of those, and strictly.
    assert rewritten('[a](../NOTHING.md)', 'node.md') == '[a](../NOTHING.md)'


def test_the_drawing_is_text() -> None:
    assert (ROOT / 'docs' / 'how.svg').read_text('utf-8') == how_drawing.drawing()
    tree = ElementTree.parse(ROOT / 'docs' / 'how.svg')
    words = ' '.join(''.join(node.itertext()) for node in tree.iter() if node.tag.endswith('text'))
    for step in ('intake', 'pairing', 'mailbox', 'registration', 'network', '/diagnostics'):
        assert step in words
    assert not [node for node in tree.iter() if node.tag.endswith('image')]


def test_the_api_page_lists_every_module() -> None:
    assert pages.is_current(module_table.PAGE, module_table.MARK, module_table.table()), (
        'run python -m tools.module_table'
    )
    names = module_table.modules()
    assert {'paif_ros.node', 'paif_ros.sync.pairing', 'paif_ros.replay.ray_head'} <= set(names)
    assert not any('__main__' in name for name in names)


def test_citation_names_the_three_papers() -> None:
    tree = yaml.safe_load((ROOT / 'CITATION.cff').read_text('utf-8'))
    titles = ' '.join(reference['title'] for reference in tree['references'])
    assert tree['cff-version'] == '1.2.0'
    assert len(tree['references']) == 3
    for name in ('PAIF', 'Deep Unfolding', 'CrossFuse'):
        assert name in titles
    import paif_ros

    assert tree['version'] == paif_ros.__version__


# ---- the table of networks


def test_the_table_of_networks_is_that_of_the_scores() -> None:
    assert pages.is_current(choose.PAGE, choose.MARK, choose.table(choose.read_all())), (
        'run python -m models.evaluation.choose'
    )


def scores(folder: Path, name: str, **attacks: tuple[float, float]) -> Path:
    path = folder / f'{name}.json'
    entries = {
        attack: {'miou': both[0], 'miou_foreground': both[1], 'iou': [1.0, both[1]]}
        for attack, both in attacks.items()
    }
    path.write_text(json.dumps({'weights': f'models/weights/{name}.st', 'attacks': entries}))
    return path


def test_rows_are_the_files_and_the_most_robust_is_first(tmp_path: Path) -> None:
    scores(tmp_path, 'plain', none=(0.6, 0.5), pgd20=(0.2, 0.0123))
    scores(tmp_path, 'robust', none=(0.5, 0.4), pgd20=(0.4, 0.3), fgsm=(0.45, 0.35))
    lines = choose.table(choose.read_all(tmp_path)).splitlines()
    assert lines[0] == '| Network | clean | `pgd20` | `fgsm` | VIF | Qabf | Scores | Command |'
    assert lines[2].startswith('| `robust` | 50.0 (40.0) | 40.0 (30.0) | 45.0 (35.0) |')
    assert lines[3].startswith('| `plain` | 60.0 (50.0) | 20.0 (1.2) |  |')
    assert '--weights models/weights/plain.st --data DIR --attacks none,pgd20' in lines[3]
    tree = json.loads((tmp_path / 'plain.json').read_text())
    tree |= {'network': 'crossfuse', 'fusion_metrics': {'VIF': 0.777, 'Qabf': 0.5}}
    (tmp_path / 'plain.json').write_text(json.dumps(tree))
    line = choose.table(choose.read_all(tmp_path)).splitlines()[3]
    assert '|  | 0.78 | 0.50 | [JSON]' in line
    assert '--network crossfuse --weights' in line
    assert '--fusion-metrics --json docs/evaluation/plain.json' in line
    page = tmp_path / 'page.md'
    page.write_text('a\n<!-- networks: begin -->\nold\n<!-- networks: end -->\nb')
    pages.put(page, choose.MARK, '\n'.join(lines))
    assert page.read_text().splitlines()[2:-2] == lines


@pytest.mark.parametrize('text', ['{', '{}', '{"attacks": {}}', '{"attacks": {"none": 3}}'])
def test_files_without_scores_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / 'bad.json'
    path.write_text(text)
    with pytest.raises(choose.ScoresError, match=r'bad\.json') as caught:
        choose.read(path)
    assert caught.value.path == path


def test_percent_in_place_of_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(choose.ScoresError, match='pgd5'):
        choose.read(scores(tmp_path, 'percent', none=(0.5, 0.5), pgd5=(46.0, 29.0)))


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match='networks: begin'):
        pages.replaced('nothing', choose.MARK, '')


# ---- the table of standard and robust networks


def fed(folder: Path, name: str, **inputs: dict[str, float]) -> None:
    entries = {
        kind: {'attacks': {attack: {'miou_foreground': iou} for attack, iou in found.items()}}
        for kind, found in inputs.items()
    }
    tree = {'sets': {'../shared/data/test': {**entries['fused'], 'inputs': entries}}}
    (folder / f'{name}.json').write_text(json.dumps(tree))


def test_the_table_of_robust_networks_is_that_of_the_scores() -> None:
    found = robustness.text(robustness.read_all())
    assert pages.is_current(robustness.PAGE, robustness.MARK, found), (
        'run python -m models.evaluation.robustness'
    )


def test_the_gap_is_of_attacks_that_both_were_scored_under(tmp_path: Path) -> None:
    fed(tmp_path, 'a', fused={'none': 0.3, 'pgd5': 0.01, 'fgsm': 0.1}, thermal={'none': 0.2})
    fed(tmp_path, 'a_robust', fused={'none': 0.28, 'pgd5': 0.2}, thermal={'none': 0.25})
    fed(tmp_path, 'alone', fused={'none': 0.3})
    (both,) = robustness.read_all(tmp_path)
    lines = list(robustness.table(both))
    assert lines[0] == '| set | network | fed with | clean | `pgd5` |'
    assert lines[2] == '| test | `a` | fused | 30.0 | 1.0 |'
    assert lines[5] == '| test | `a_robust` | thermal alone | 25.0 |  |'
    assert 'gains 19.0 points and loses 2.0 clean' in lines[7]
    assert lines[7].endswith('is met.')
    fed(tmp_path, 'a_robust', fused={'none': 0.26, 'pgd5': 0.2}, thermal={})
    assert list(robustness.table(robustness.read_all(tmp_path)[0]))[-2].endswith('is missed.')
