"""JSON Schema (2020-12): describe the fields of a body, parse and validate values."""
