"""Assertions that tests share."""

from myapp.core.errors import STATUS_TITLES

from . import ROOT

OUR_FOLDER = str(ROOT)
TELLTALE = (OUR_FOLDER, "Traceback", "site-packages", ".py", "SELECT", "INSERT", "SQL")


def assert_problem(response, status):
    """Assert that this is a complete problem of that status; return its body."""
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    if response.request.method == "HEAD":
        return None
    problem = response.json
    title, (page, _, kind) = STATUS_TITLES[status], problem["type"].partition("#")
    if kind:
        title = kind.replace("-", " ").capitalize()
    assert page == ("/docs/problems" if kind else "about:blank")
    assert problem["title"] == title
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-ID"]
    known = {"type", "title", "status", "detail", "request_id"}
    results = [problem["detail"]]
    if status in (400, 422):
        known.add("errors")
        assert problem["errors"]
        for fault in problem["errors"]:
            assert fault.keys() == {"pointer", "detail"}
            # The pointer may contain names from the client; the detail may not.
            assert fault["pointer"] == "" or fault["pointer"].startswith("/")
            results.append(fault["detail"])
    assert problem.keys() == known
    assert all(results)
    assert not [word for word in TELLTALE if word in " ".join(results)]
    return problem
