"""Compare two OpenAPI documents and report what breaks clients."""
