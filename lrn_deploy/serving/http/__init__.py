"""HTTP/1.1 over asyncio: heads, bodies, connections, answers; knows no application."""
