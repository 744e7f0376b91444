"""Compare two OpenAPI 3.1 documents, and report what breaks clients.

The service must still accept what clients send (parameters, bodies): a schema of these may
become wider. Clients must still understand what they get (bodies, headers, statuses): a
schema of these may become narrower. Clients ignore properties, headers and errors that they
do not know, so new ones break nothing. A change that cannot be judged counts as a break: a
false alarm only costs a review.
"""
