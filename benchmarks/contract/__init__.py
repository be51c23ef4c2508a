"""The server against its own description: schemathesis asks for all that ``/openapi.json`` says."""
