"""HTTP: resources, requests, responses, pages, downloads, uploads, errors."""
