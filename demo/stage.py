"""The steps of the demo: the cameras' bag, the graph, the numbers, the pictures."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2

from demo.crew import ROOT, Crew, CrewError, graph_environment
from demo.film import Film
from demo.moments import Moment, moments
from demo.pictures import choose, mosaic, sheet, sheet_row
from demo.report import Report, make_report
from demo.topics import FUSED, NODE
from scenes.bag import COLOR, BagSummary, make_room, write_bag
from scenes.clips import Clip
from scenes.progress import show_progress

MODELS = ROOT / 'models' / 'weights'
START_TIMEOUT = 60.0  # seconds for the node to load its model
MADE = ('report.json', 'contact_sheet.png', 'demo.mp4', 'logs/player.json', 'logs/recorder.json')
DRAIN = 1.5  # seconds after the last pair, for what is still being computed


def find_model(given: Path | None) -> Path:
    """Return the model to run.

    Args:
        given: what the user asked for; None takes the one in models/weights.

    Raises:
        FileNotFoundError: there is none; says what to do.
    """
    if given is not None:
        if not given.is_file():
            raise FileNotFoundError(
                f'no model at {given}: pass --model a file that export/to_onnx.py wrote'
            )
        return given.resolve()
    found = sorted(MODELS.glob('*.onnx'))
    preferred = [path for path in found if path.stem == 'paif_small']
    if not found:
        raise FileNotFoundError(
            f'no .onnx model in {MODELS}: export one with export/to_onnx.py, or pass --model'
        )
    return (preferred or found)[0]


def run_graph(bag: BagSummary, out: Path, model: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run node, recorder and player until the bag is played; return what the last two noted.

    Raises:
        CrewError: one of them failed or did not end.
    """
    made = out / 'output_bag'
    make_room(made, replace=True)
    facts = {name: out / 'logs' / f'{name}.json' for name in ('player', 'recorder')}
    parameters = ['--params-file', str(ROOT / 'config' / 'fusion.yaml')]
    parameters += ['-p', f'model_path:={model}']
    with Crew(out / 'logs', graph_environment()) as crew:
        crew.start('node', 'paif_ros.node', ['--ros-args', *parameters])
        crew.start('recorder', 'demo.record', [str(made), str(facts['recorder'])])
        timeout = ['--timeout', str(START_TIMEOUT)]
        arguments = [str(bag.path), str(facts['player']), *timeout]
        crew.start('player', 'demo.play', arguments, loud=True)
        crew.wait('player', START_TIMEOUT + 2 * bag.pairs / bag.rate + 20)
        time.sleep(DRAIN)
        crew.end('player')
        crew.end('node')  # says its last diagnostics on leaving: the recorder must still listen
        time.sleep(0.5)
        crew.end('recorder')
    missing = [name for name, path in facts.items() if not path.is_file()]
    if missing:
        raise CrewError(f'{" and ".join(missing)} left no facts: see the logs in {out / "logs"}')
    played, recorded = (json.loads(facts[name].read_text()) for name in ('player', 'recorder'))
    return played, recorded


def draw_results(bag: BagSummary, out: Path, played: Any, recorded: Any) -> None:
    """Write contact_sheet.png and demo.mp4."""
    stamps = played['stamps'][COLOR]
    place = {stamp: index for index, stamp in enumerate(stamps)}
    fused = {place[stamp] for stamp, _ in recorded['arrivals'][FUSED] if stamp in place}
    chosen = choose(bag.sections, fused, 2 if len(bag.sections) > 1 else 6)
    rows = []
    last: Moment | None = None
    with Film(out / 'demo.mp4', bag.rate) as film:
        every = moments(bag.path, out / 'output_bag', stamps, bag.sections)
        for moment in show_progress(every, len(stamps), 'drawing demo.mp4'):
            last = moment if moment.fused is not None else last
            film.add(mosaic(moment, last, bag.rate))
            if moment.index in chosen:
                rows.append(sheet_row(moment, bag.rate))
    cv2.imwrite(str(out / 'contact_sheet.png'), sheet(rows)[..., ::-1])


def run(clip: Clip, out: Path, model: Path, seed: int) -> Report:
    """Do everything.

    Args:
        clip: what the cameras see.
        out: folder for everything that is written.
        model: the exported model.
        seed: of the jitter between both cameras.

    Raises:
        OSError: a file can't be written, or something lies in the way of a bag.
        CrewError: a process failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in MADE:  # an earlier run's would pass for this one's where this one fails
        (out / name).unlink(missing_ok=True)
    say(f'1/4 cameras: {clip.count} pairs at {clip.rate:g} Hz')
    bag = write_bag(out / 'input_bag', clip, seed, replace=True)
    say(f'2/4 graph: /{NODE} with {model.name}, a player and a recorder')
    played, recorded = run_graph(bag, out, model)
    say('3/4 numbers')
    parts = ', '.join(part.name for part in bag.sections)
    report = make_report(f'{bag.pairs} pairs ({parts})', bag.rate, played, recorded)
    (out / 'report.json').write_text(report.to_json())
    say('4/4 pictures')
    if report.fused:
        draw_results(bag, out, played, recorded)
    return report


def say(text: str) -> None:
    """Tell the user which step begins."""
    print(f'== {text}', file=sys.stderr, flush=True)
