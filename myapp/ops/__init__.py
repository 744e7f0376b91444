"""Commands for operators. They may know features; no feature knows them."""
