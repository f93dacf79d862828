"""Makes the sinks that the options ask for."""

from __future__ import annotations

from paif_ros.replay.bag_sink import BagSink
from paif_ros.replay.film_sink import FilmSink
from paif_ros.replay.mosaic import Mosaic
from paif_ros.replay.options import Options
from paif_ros.replay.picture_sink import PictureSink
from paif_ros.replay.sinks import Sink


def make_sinks(options: Options) -> list[Sink]:
    """Return the sinks, not yet begun.

    Raises:
        ParameterError: a name of a picture is not known.
        ReportError, StartError: what a report or Rerun needs is not installed.
    """
    sinks: list[Sink] = []
    if options.storage != 'none':
        sinks.append(BagSink(options))
    if options.mosaic:
        sinks.append(FilmSink(Mosaic.parse(options.mosaic)))
    if options.pictures:
        sinks.append(PictureSink(options.pictures))
    if options.report:
        from paif_ros.report.key_frames import KeyFrames
        from paif_ros.report.page import check_libraries

        check_libraries()
        sinks.append(KeyFrames())
    if options.rerun:
        from paif_ros.view.rerun_sink import RerunSink

        sinks.append(RerunSink('' if options.rerun == 'files' else options.rerun))
    return sinks
