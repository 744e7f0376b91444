"""The task of sample files."""

from myapp.core import sql, task, unit_of_work

from .models import SampleFile


@task
def count_lines(id):
    """Count the lines of a file. It blocks while the file is a pipe that is open."""
    with unit_of_work(writes=False):
        file = sql.session.get(SampleFile, id)
    if file is None and count_lines.request.retries < 3:  # sent before the commit
        raise count_lines.retry(countdown=0.1)
    if file is None:
        return f"no file {id}"
    lines = file.path.read_bytes().count(b"\n")
    with unit_of_work():
        SampleFile.lock_or_404(id).update(status="done", lines=lines)
    return f"file {id}: {lines} lines"
