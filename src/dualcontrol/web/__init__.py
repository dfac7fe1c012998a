"""The console and the HTTP API over one desk: `app.create_app` builds both, `server.Serving` runs them."""
