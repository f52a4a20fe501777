"""The console: pages for people, on the daemon's HTTP port.

Rendered by the daemon, without a build step and without anything from
elsewhere. ``routes`` puts the pages together, ``visit`` lets people in,
``asking`` asks the API on their behalf, ``live`` keeps pages fresh; each other
module makes one page.
"""
