"""Read rows from a CSV or NDJSON file, in constant memory and from any position.

The file may come from `exports.py` or from a spreadsheet. A line that is not a valid row
yields a ServiceError in its place, and reading goes on with the next line.
"""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO

import orjson

from ..data.models.schema_model import SchemaModel
from ..errors import Invalid, Malformed, ServiceError, fault, json_pointer
from ..schema.examples import example_of
from ..schema.fields import is_optional, json_types
from .exports import encode_cell, unescape_formula

# bytes of a line, and roughly of the rows that are in memory
MAX_LINE_BYTES = 1024 * 1024
BOM = b"\xef\xbb\xbf"
DELIMITERS = ",;\t"  # spreadsheets use one of these, depending on the locale


def row_reader(
    file: BinaryIO, form: str, model: type[SchemaModel], position: int = 0
) -> "Rows":
    """Return the rows of a file for `model`, from `position` (in bytes) on.

    `form`: csv or ndjson. Raises ServiceError if the header of a CSV file is invalid.
    """
    return READERS[form](file, model, position)


class Rows:
    """The rows of a file.

    `position`: the bytes that the rows read so far take, with all before them. Pass it to
    `row_reader` to continue there.
    """

    def __init__(self, file: BinaryIO, model: type[SchemaModel], position: int) -> None:
        self.position = position
        self._file = file
        self._writable = model.write_schema["properties"]
        # An export holds read-only properties, too. They are ignored.
        self._ignored = model.read_schema["properties"].keys() - self._writable
        file.seek(position)
        if not position and file.read(len(BOM)) == BOM:
            self.position = len(BOM)
        file.seek(self.position)

    def read_batch(self, number: int) -> list[Any]:
        """Return the next rows, each as a value or as the ServiceError of an invalid row.

        At most `number` rows, or as many as MAX_LINE_BYTES bytes hold. The list is empty
        only at the end.
        """
        batch, limit = [], self.position + MAX_LINE_BYTES
        for row in self._rows():
            batch.append(row)
            if len(batch) == number or self.position >= limit:
                break
        return batch

    def count(self) -> int:
        """Return the number of rows from here on; this reads to the end."""
        return sum(1 for _ in self._records())

    def _records(self) -> Iterator[Any]:
        raise NotImplementedError

    def _row(self, record: Any) -> Any:
        raise NotImplementedError

    def _rows(self) -> Iterator[Any]:
        return map(self._row, self._records())

    def _line(self) -> bytes:
        """Return the next line; b"" at the end. Raises ValueError if it is too long."""
        line = self._file.readline(MAX_LINE_BYTES)
        self.position += len(line)
        if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
            return line
        while line and not line.endswith(b"\n"):
            line = self._file.readline(MAX_LINE_BYTES)
            self.position += len(line)
        raise ValueError(f"The line is longer than {MAX_LINE_BYTES} bytes.")


class NdjsonRows(Rows):
    """The rows of an NDJSON file: one JSON object per line."""

    def _records(self) -> Iterator[bytes | ServiceError]:
        line = None
        while line != b"":
            try:
                line = self._line()
                if line and not line.isspace():
                    yield line
            except ValueError as error:
                yield row_error(str(error))

    def _row(self, record: bytes | ServiceError) -> Any:
        if isinstance(record, ServiceError):
            return record
        try:
            data = orjson.loads(record)
        except orjson.JSONDecodeError as error:
            return row_error(f"The line is not valid JSON: {error}.")
        if isinstance(data, dict) and self._ignored & data.keys():
            return {name: data[name] for name in data if name not in self._ignored}
        return data


class CsvRows(Rows):
    """The rows of a CSV file, below a header of property names (RFC 4180)."""

    def __init__(self, file: BinaryIO, model: type[SchemaModel], position: int) -> None:
        super().__init__(file, model, 0)
        self._delimiter, self._width, self._columns = self._header()
        if position:
            self.position = position
            file.seek(position)

    def _header(self) -> tuple[str, int, list[tuple[int, str, Callable[[str], Any]]]]:
        """Return the delimiter, the number of cells per row, and the columns.

        A column is its index, the name of its property and a parser for its cells.
        """
        line = "\n"
        try:
            while line.isspace():
                line = self._line().decode()
        except UnicodeDecodeError:
            raise Malformed("The header is not valid UTF-8.") from None
        except ValueError:
            raise Malformed(
                f"The header is longer than {MAX_LINE_BYTES} bytes."
            ) from None
        delimiter = max(DELIMITERS, key=line.count)
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            raise Malformed(f"The header is not valid CSV: {error}.") from None
        names = [name.strip() for name in cells]
        faults = [
            fault(json_pointer(name), "Unknown column.")
            for name in names
            if name not in self._writable and name not in self._ignored
        ]
        faults += [
            fault(json_pointer(name), "Duplicate column.")
            for name in self._writable
            if names.count(name) > 1
        ]
        faults += [
            fault(json_pointer(name), "Required column is missing.")
            for name, schema in self._writable.items()
            if name not in names and not is_optional(schema)
        ]
        if faults:
            raise Invalid("The header does not match the schema.", faults)
        columns = [
            (index, name, cell_decoder(self._writable[name]))
            for index, name in enumerate(names)
            if name in self._writable
        ]
        return delimiter, len(names), columns

    def _records(self) -> Iterator[list[str] | ServiceError]:
        while True:
            rows = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
            self._start = self.position
            try:
                for row in rows:
                    if row:  # skip empty lines
                        yield row
                    self._start = self.position
                return
            except UnicodeDecodeError:
                problem = row_error("The row is not valid UTF-8.")
            except csv.Error as error:
                problem = row_error(f"The row is not valid CSV: {error}.")
            except ValueError as error:
                problem = row_error(str(error))
            # If a quote is never closed, the end of the row is unknown, so go on with the
            # line after the one where the row begins.
            self._file.seek(self._start)
            self.position = self._start
            with suppress(ValueError):
                self._line()
            yield problem

    def _lines(self) -> Iterator[str]:
        while line := self._line():
            yield line.decode()

    def _row(self, record: list[str] | ServiceError) -> Any:
        if isinstance(record, ServiceError):
            return record
        if len(record) != self._width:
            return row_error(
                f"The row has {len(record)} cells, but the header has {self._width}."
            )
        return {
            name: value
            for index, name, parse in self._columns
            if (value := parse(record[index])) is not OMITTED
        }


READERS: dict[str, type[Rows]] = {"csv": CsvRows, "ndjson": NdjsonRows}
OMITTED = object()


def example_file(form: str, model: type[SchemaModel]) -> str:
    """Return a file with one row: the examples of the write schema.

    `form`: csv or ndjson.
    """
    properties = model.write_schema["properties"]
    row = {name: example_of(schema) for name, schema in properties.items()}
    if form == "ndjson":
        return orjson.dumps(row).decode()
    text = io.StringIO(newline="")
    csv.writer(text).writerows([row, map(encode_cell, row.values())])
    return text.getvalue()


def cell_decoder(schema: dict[str, Any]) -> Callable[[str], Any]:
    """Return a parser for the cells of a property, the reverse of `exports.encode_cell`.

    It returns OMITTED for an empty cell of an optional property.
    """
    types = set(json_types(schema))

    def value(cell: str) -> Any:
        if cell == "" and is_optional(schema):
            return OMITTED
        if "string" in types:
            return unescape_formula(cell)
        try:
            return orjson.loads(cell)
        except ValueError:
            return cell  # the validation against the schema reports it

    return (
        unescape_formula if types == {"string"} and not is_optional(schema) else value
    )


def row_error(detail: str) -> ServiceError:
    """Return the error that takes the place of an invalid row."""
    return Invalid(errors=[fault("", detail)])
