"""What the server can be asked over HTTP, as OpenAPI 3.1, made from the routes themselves."""
