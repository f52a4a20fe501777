"""Durable workflow runs, and hooks with tokens that have exactly one owner.

``connect`` gives a client; ``start``, ``get_run``, ``resume_hook`` and
``get_hook_by_token`` use an ambient one. Everything public is named here.
"""

# A name is imported when it is used: `import hookd.v1` by itself needs no runtime of workflows,
# and commands start sooner. What is public stands in `__init__.pyi`.
import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
