"""OpenAPI 3.1 and Swagger 2.0 documents, a Postman collection, and Swagger UI."""
