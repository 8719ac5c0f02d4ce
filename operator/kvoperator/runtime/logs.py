"""One line for each change of state, as JSON or for people; kopf and everything else may only warn."""

import logging

import structlog

from kvoperator.runtime.settings import Settings


def configure(settings: Settings) -> None:
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    last: structlog.typing.Processor = structlog.processors.JSONRenderer()
    errors: structlog.typing.Processor = structlog.processors.dict_tracebacks
    if settings.log_format == "console":
        last, errors = structlog.dev.ConsoleRenderer(), structlog.processors.StackInfoRenderer()
    stamp = structlog.processors.TimeStamper(fmt="iso")
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, errors, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    logging.basicConfig(level=max(level, logging.WARNING), format="%(levelname)s %(name)s: %(message)s")
