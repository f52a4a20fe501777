"""Makes pages of templates. Everything that is put into one is escaped."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hookd_daemon import __version__
from hookd_daemon.console import showing

_environment = Environment(
    loader=PackageLoader("hookd_daemon.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(
    age=showing.age,
    ago=showing.ago,
    brief=showing.brief,
    clock=showing.clock,
    duration=showing.duration,
    exact=showing.exact,
    failure_details=showing.failure_details,
    hook_status=showing.hook_status,
    ms=showing.milliseconds,
    payload=showing.payload,
    plain=showing.plain_name,
    run_status=showing.run_status,
    short=showing.short,
    size=showing.size,
    span=showing.span,
    trace=showing.trace_id,
    visible=showing.visible,
    whole=showing.whole,
)
_environment.globals.update(address=showing.address, version=__version__)


def render(template: str, **values: Any) -> Markup:
    """Makes HTML of a template.

    Args:
        template: the file below ``templates``.
        values: what stands in it.
    """
    return Markup(_environment.get_template(template).render(**values))  # noqa: S704 - it escapes
