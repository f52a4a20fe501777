"""What the daemon serves over HTTP, in its event loop.

``server`` listens, and loads ``engine``, which serves, when somebody comes;
``app`` puts together what is served: ``health`` for probes and Prometheus,
``webhooks`` for requests to the URLs of hooks, and what is named there beside
them. ``limits`` has what a connection may cost. ``calls`` answers calls of the
API for those who do not speak gRPC; nothing in here knows what a call means.
"""
