"""A worker without the steps that its workflow calls."""

from __future__ import annotations

from tests.e2e.workflows.programs.renamed import fulfil

served = [fulfil]
