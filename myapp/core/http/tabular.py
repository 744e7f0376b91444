"""Rows from a file, CSV or NDJSON, in constant memory and from any place in it on.

This reads what `export.py` writes, and what spreadsheets do. A line that is no row is told
of as a ServiceError in its place, and the next line is read.
"""

import csv
import io
from contextlib import suppress

import orjson

from ..errors import Invalid, Malformed, ServiceError, fault
from ..schema.examples import example_of
from ..schema.fields import is_optional, kinds
from .exports import cell, unguarded

LONGEST = 1024 * 1024  # bytes of a line, and, about, of what is in memory
BOM = b"\xef\xbb\xbf"
DELIMITERS = ",;\t"  # what spreadsheets put between cells, by country


def reader(file, form, model, position=0):
    """The rows of a binary file for a model, from `position` bytes on; 0: from its start.

    `form`: csv or ndjson. Raises ServiceError for a CSV whose header does not fit.
    """
    return READERS[form](file, model, position)


class Rows:
    """`take` gives rows, and `position` tells how many bytes they and those before are."""

    def __init__(self, file, model, position):
        self.position = position
        self._file = file
        self._written = model.write_schema["properties"]
        # An export holds these, too. They are not for writing, so they are left out.
        self._ignored = model.read_schema["properties"].keys() - self._written
        file.seek(position)
        if not position and file.read(len(BOM)) == BOM:
            self.position = len(BOM)
        file.seek(self.position)

    def take(self, number):
        """The next rows, at most so many, or as many as LONGEST bytes hold; none at the end
        only. Each is a dict, or the ServiceError that it is none."""
        taken, enough = [], self.position + LONGEST
        for row in self._rows():
            taken.append(row)
            if len(taken) == number or self.position >= enough:
                break
        return taken

    def count(self):
        """How many rows there are from here on."""
        return sum(1 for _ in self._records())

    def _rows(self):
        return map(self._row, self._records())

    def _line(self):
        """The next line; b"" at the end. Raises ValueError for one that is too long."""
        line = self._file.readline(LONGEST)
        self.position += len(line)
        if len(line) < LONGEST or line.endswith(b"\n"):
            return line
        while line and not line.endswith(b"\n"):
            line = self._file.readline(LONGEST)
            self.position += len(line)
        raise ValueError(f"is longer than {LONGEST} bytes")


class NdjsonRows(Rows):
    """A JSON object on each line."""

    def _records(self):
        line = True
        while line:
            try:
                line = self._line()
                if line and not line.isspace():
                    yield line
            except ValueError as error:
                yield unreadable(str(error))

    def _row(self, line):
        if isinstance(line, ServiceError):
            return line
        try:
            data = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            return unreadable(f"is not JSON: {error}")
        if isinstance(data, dict) and self._ignored & data.keys():
            return {name: data[name] for name in data if name not in self._ignored}
        return data


class CsvRows(Rows):
    """Cells, below a line of names (RFC 4180)."""

    def __init__(self, file, model, position):
        super().__init__(file, model, 0)
        self._delimiter, self._width, self._columns = self._header()
        if position:
            self.position = position
            file.seek(position)

    def _header(self):
        """The delimiter, how many cells a row has, and where each property is: its place,
        its name, and what makes a value of its cell."""
        line = "\n"
        try:
            while line.isspace():
                line = self._line().decode()
        except UnicodeDecodeError:
            raise Malformed("The file is not in UTF-8.") from None
        except ValueError as error:
            raise Malformed(f"The header {error}.") from None
        delimiter = max(DELIMITERS, key=line.count)
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            raise Malformed(f"The header is not CSV: {error}.") from None
        names = [name.strip() for name in cells]
        faults = [
            fault(f"/{name}", "is not known here")
            for name in names
            if name not in self._written and name not in self._ignored
        ]
        faults += [
            fault(f"/{name}", "is there twice")
            for name in self._written
            if names.count(name) > 1
        ]
        faults += [
            fault(f"/{name}", "is required")
            for name, schema in self._written.items()
            if name not in names and not is_optional(schema)
        ]
        if faults:
            raise Invalid("The header does not fit the schema.", faults)
        columns = [
            (place, name, value_of(self._written[name]))
            for place, name in enumerate(names)
            if name in self._written
        ]
        return delimiter, len(names), columns

    def _records(self):
        while True:
            cells = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
            self._start = self.position
            try:
                for row in cells:
                    if row:  # an empty line is none
                        yield row
                    self._start = self.position
                return
            except UnicodeDecodeError:
                problem = unreadable("is not in UTF-8")
            except (csv.Error, ValueError) as error:
                problem = unreadable(f"is not CSV: {error}")
            # Of a quote that is never closed nobody knows where the row ends: there.
            self._file.seek(self._start)
            self.position = self._start
            with suppress(ValueError):
                self._line()
            yield problem

    def _lines(self):
        while line := self._line():
            yield line.decode()

    def _row(self, cells):
        if isinstance(cells, ServiceError):
            return cells
        if len(cells) != self._width:
            return unreadable(f"has {len(cells)} cells; the header has {self._width}")
        return {
            name: value
            for place, name, value_in in self._columns
            if (value := value_in(cells[place])) is not LEFT_OUT
        }


READERS = {"csv": CsvRows, "ndjson": NdjsonRows}
LEFT_OUT = object()


def sample(form, model):
    """A file of that form with one row: the examples that the write schema gives."""
    properties = model.write_schema["properties"]
    row = {name: example_of(schema) for name, schema in properties.items()}
    if form == "ndjson":
        return orjson.dumps(row).decode()
    text = io.StringIO(newline="")
    csv.writer(text).writerows([row, map(cell, row.values())])
    return text.getvalue()


def value_of(schema):
    """What makes, of a cell as `export.cell` writes it, the value of a property."""
    types = set(kinds(schema))

    def value(cell):
        if cell == "" and is_optional(schema):
            return LEFT_OUT
        if "string" in types:
            return unguarded(cell)
        try:
            return orjson.loads(cell)
        except ValueError:
            return cell  # and the schema says what is wrong with it

    return unguarded if types == {"string"} and not is_optional(schema) else value


def unreadable(why):
    """What stands for a line that is no row."""
    return Invalid(errors=[fault("", why)])
