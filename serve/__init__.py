"""The live stream: a stored or live session, bin by bin, over HTTP and WebSocket on Ray Serve.

`session.Session` is one stream without Ray and without a socket; `app.build_app` puts sockets on it; `deployment` puts Ray Serve
around that. Importing this package starts nothing.
"""
