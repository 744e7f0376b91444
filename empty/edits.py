"""What `flask empty-house` takes out, and what it says instead.

A text that is to be replaced stands once in its file, and a file that goes is there: else
nothing happens, and the command says which.
"""

import re

SLICES = ("devices", "imports", "presence", "todos", "audit")

# In a test: its names, its texts, the addresses that it asks.
SPEAKS = (
    r"(?<![a-z0-9])(devices?|thermostats?|(?<!domain\.)(?<!ignore_)imports"
    r"|max_import_bytes|presence|heartbeats?|todos?|audit)(?![a-z])"
)


def chapter(heading):
    """A chapter of the README, whatever stands in it."""
    return re.compile(rf"^## {heading}\n.*?(?=^## )", re.DOTALL | re.MULTILINE)


def passage(first, last):
    """What stands between two texts, these included; a blank may be a line's end."""
    first, last = (re.escape(text).replace(r"\ ", r"\s") for text in (first, last))
    return re.compile(rf"{first}.*?{last}", re.DOTALL)


# Files and folders.
GONE = [
    *(f"myapp/{name}" for name in SLICES),
    "myapp/empty_house.py",
    "bench",
    "clients/README.md",
    "data",
    "docs/export.md",
    "docs/imports.md",
    "docs/pages.md",
    "docs/performance.md",
    "docs/scaling.md",
    "docs/adr/0009-presence-ends.md",
    "migrations/versions/20261121_accounts_and_devices.py",
    "migrations/versions/20261121_imports.py",
    "migrations/versions/20261121_last_seen.py",
    "migrations/versions/20261121_todos_and_first_answers.py",
    "schemathesis.toml",
    "tests/deploy",
    "tests/documents/round_trip.ts",
    "tests/documents/test_clients.py",
    "tests/fuzz",
    "tests/own/test_empty.py",
    "tests/own/test_slices.py",
    "tests/test_empty_house.py",
    "tests/test_readme.py",
    "tests/tour.py",
]

# Lines, by a pattern.
LINES = [
    ("myapp/__init__.py", rf"^from \.({'|'.join(SLICES)}) import"),
    (".importlinter", r"-> myapp\.devices\.models"),
    ("tests/authorization.txt", r"^[A-Z]+ +(devices|imports|presence|audit)/"),
    ("tests/authorization.txt", r"^# (What more .* devices|Imports of|The audit)"),
    ("tests/test_authorization.py", r"AuditLine|audit/"),
    ("tests/mutate_guards.py", r'^    \("(devices|presence)/'),
    ("README.md", rf"^\| `myapp/({'|'.join(SLICES)})/`"),
    ("README.md", r"^flask (empty-house|import-devices|export-devices)\b|^make fuzz\b"),
]

EDITS = {
    "README.md": [
        (re.compile(r"(?<=^A REST service)( that .*?)?(?=\. Every)", re.S | re.M), ""),
        (
            "documents follow from that.\n",
            "documents follow from that.\n"
            "Here are accounts, roles and sign-in; the rest is yours to add.\n",
        ),
        ("database, demo data, everything", "database, demo accounts, everything"),
        (
            passage("`I<3testing`, who owns", "owns none yet."),
            "`I<3testing`, and `engineer` with `Muh5devices`.",
        ),
        (chapter("A tour"), ""),
        ("for the audit slice to write down", "for whoever listens"),
        (
            "`myapp/yours.py`, `empty_house.py`, `empty/` "
            "| `flask rename-project`, `flask empty-house` |",
            "`myapp/yours.py` | `flask rename-project` |",
        ),
        (
            "| why it is as it is |",
            "| why it is as it is; some tell of the registry that it was made for |",
        ),
        (
            passage("```python\n    @requires()", "```"),
            lambda found: found[0].replace("Device", "Book").replace("device", "book"),
        ),
        (
            chapter("Your first feature"),  # what it refers to is a feature, too
            lambda found: re.sub(
                r"\bdevice(s?)\b", lambda f: "shelves" if f[1] else "shelf", found[0]
            ),
        ),
        ("Both want a clean", "It wants a clean"),
        (passage("takes it back. The first", "gives"), "takes it back. It\ngives"),
        (
            passage(" The second leaves", "`make own` does all of this in a clone,"),
            " `make own` does so in a clone,",
        ),
        (passage(" adds ten features, and", "passes its tests."), " and looks at it."),
        (passage(" `tests/test_one_schema.py`", "looks at all of that."), ""),
        ("`/api/v1/devices/swagger.json`", "`/api/v1/users/swagger.json`"),
        (", Postman and both clients, none", " and Postman, none"),
        (passage(" `make fuzz` lets", "the same data again."), ""),
        (passage(", and no row of an import", "(docs/imports.md))"), ""),
        (
            passage("asks for: presence is", "; sessions that are over,"),
            "asks for: sessions that are over and",
        ),
        (passage(", audit lines after", "imports after 30 days are"), " are"),
        (re.compile(r"(?<=release )0\.1\.0(?=; set here)"), "0.2.0"),
        (re.compile(r"(?<=^migrations   ok      )\d+", re.M), "1"),
        (re.compile(r"(?<=^models       ok      )\d+", re.M), "4"),
        (
            passage(": `make proof` shows it", "docs/deploy.md) has the figures)."),
            " ([docs/deploy.md](docs/deploy.md)).",
        ),
        (passage(" What happens when a web host,", "docs/scaling.md)."), ""),
        (chapter("How quick it is"), ""),
        (passage(" `MAX_IMPORT_BYTES` is", "they must share it."), ""),
        ("empty ones with the demo data", "empty ones with the demo accounts"),
    ],
    "myapp/__init__.py": [
        ("users, roles, audit),", "users, roles),"),
        ("*(devices, imports, presence, todos),", ""),
    ],
    "myapp/version.py": [('"0.1.0"', '"0.2.0"')],
    "myapp/cli.py": [
        ("from . import empty_house, yours\n", "from . import yours\n"),
        ("    app.cli.add_command(empty_house.empty_house)\n", ""),
    ],
    "myapp/backups.py": [
        (
            "            devices = "
            'select(func.count()).select_from(known["devices"])\n'
            "            counts = session.scalar(users), "
            "session.scalar(devices)\n"
            '    click.echo("Revision {}: {} accounts, {} '
            'devices.".format(revision, *counts))\n',
            "            count = session.scalar(users)\n"
            '    click.echo(f"Revision {revision}: {count} accounts.")\n',
        )
    ],
    "myapp/guard.py": [
        (
            re.compile(r'OWNED = \("devices", "todos"(?:, )?(.*?),?\)'),
            # Slices that came since stay.
            lambda found: f"OWNED = ({found[1]},)" if found[1] else "OWNED = ()",
        ),
    ],
    "myapp/paging.py": [("/api/v1/devices", "/api/v1/users")],
    "myapp/settings.py": [
        (
            '    config["IMPORTS_FOLDER"] = os.path.abspath(\n'
            '        config["IMPORTS_FOLDER"] or '
            'os.path.join(app.instance_path, "imports")\n'
            "    )\n",
            "",
        )
    ],
    "myapp/trail.py": [
        (
            '"""What happened, said by whoever did it, and kept by whoever '
            "listens.\n"
            "\n"
            "A slice that changes who may do what says so here, in the "
            "transaction of the change itself;\n"
            "the audit slice listens and writes it down. Neither knows the "
            "other.\n"
            '"""',
            '"""What happened, said by whoever did it, for whoever listens: '
            "nobody yet.\n"
            "\n"
            "A slice that changes who may do what says so here, in the "
            "transaction of the change itself.\n"
            "One that listens, with `happened.connect`, can write it down; "
            "neither knows the other.\n"
            '"""',
        )
    ],
    "myapp/users/tasks.py": [("; what the audit trail tells stays", "")],
    "default_config.py": [
        (
            "    PRESENCE_TTL = 300  # seconds without a heartbeat until a "
            "device counts as away\n"
            "    AUDIT_DAYS = 365  # after which a line of the audit trail "
            "goes; 0: it stays for ever\n",
            "",
        ),
        (
            "    MAX_IMPORT_BYTES = 256 * 1024 * 1024  # bytes of a file "
            "of devices\n"
            "    IMPORTS_FOLDER = (\n"
            "        None  # where it is until it is done, for every host; "
            "None: instance/\n"
            "    )\n",
            "",
        ),
    ],
    "conftest.py": [
        ('["tests/test_readme.py", "tests/test_run.py"]', '["tests/test_run.py"]'),
        (
            '        shared["IMPORTS_FOLDER"] = '
            'str(tmp_path_factory.mktemp("imports"))\n',
            "",
        ),
    ],
    "deploy/nginx.conf": [
        (
            "    # A file of devices; MAX_IMPORT_BYTES and the form around "
            "it.\n"
            "    location ~ ^/api/v1/imports/?$ {\n"
            "        client_max_body_size 257m;\n"
            "        client_body_timeout 60s;\n"
            "        uwsgi_pass myapp;\n"
            "    }\n"
            "\n",
            "",
        )
    ],
    "docs/adr/0026-the-document.md": [(", `make fuzz`)", ")")],
    "Makefile": [
        ("linters and a browser, and use the clients\n", "linters and a browser\n"),
        (
            "tour: .venv/dev  ## run the tour and write its answers into the README\n"
            "\t$(BIN)/python tests/tour.py\n\n",
            "",
        ),
        ("fuzz proof own tour bench profile lint", "own lint"),
        ("-k devices", "-k users"),
        (
            "fuzz: .venv/dev  ## hold the service to its document; SECONDS=3600 for "
            "longer, DB=postgresql or mariadb\n"
            "\t$(if $(DB),$(BIN)/python tests/databases.py $(DB)) \\\n"
            "\t\t$(BIN)/python tests/fuzz/run.py --max-time $(or $(SECONDS),80) "
            "$(ARGS)\n"
            "\n"
            "proof: .venv/dev  ## deploy to a machine of its own, as root; "
            "DEPLOYS=10 KILLS=20 for more\n"
            "\t$(BIN)/pytest tests/deploy -p no:randomly $(ARGS)\n"
            "\n",
            "",
        ),
        (
            'bench: .venv-bench/done  ## the service beside its peers; ARGS="--only '
            'ours,limit --rounds 3"\n'
            "\t.venv-bench/bin/python bench/side_by_side.py $(ARGS)\n"
            "\n"
            "profile: .venv-bench/done  ## a flame graph of a call, in profile.svg; "
            "CALL=page\n"
            "\t.venv-bench/bin/python bench/side_by_side.py \\\n"
            "\t\t--databases $(or $(DB),sqlite) --profile $(or $(CALL),get)\n"
            "\n",
            "",
        ),
        (
            ".venv-bench/done: requirements.txt bench/requirements.txt\n"
            "\t$(PYTHON) -m venv .venv-bench\n"
            "\t.venv-bench/bin/pip install -qq --disable-pip-version-check "
            "--require-hashes \\\n"
            "\t\t-r requirements.txt -r bench/requirements.txt\n"
            "\t@touch $@\n"
            "\n",
            "",
        ),
        ("\t$(COMPILE) $(ARGS) bench/requirements.in -o bench/requirements.txt\n", ""),
        ("rm -rf .venv .venv-bench .pytest_cache", "rm -rf .venv .pytest_cache"),
    ],
    ".gitignore": [(".venv-bench/\n", ""), ("profile.svg\n", "")],
    ".ci/run": [
        (
            'make fuzz ARGS="--seed 7"\n'
            "make bench ARGS=--smoke\n"
            ".venv/bin/python bench/imports.py --smoke\n"
            "make proof\n",
            "",
        )
    ],
    ".github/workflows/ci.yml": [("      - run: make fuzz\n", "")],
    "pytest.ini": [(" tests/deploy tests/documents", " tests/documents")],
    "tests/test_preconditions.py": [
        (
            """    DEVICES: {
        "PUT": {**THERMOSTAT, "name": "Oven"},
        "PATCH": {"name": "Oven"},
        "DELETE": None,
    },
    PRESENCE: {"PUT": {"battery": 50}, "DELETE": None},
""",
            "",
        ),
        (
            """    if request.param == ROLES:
        admin = request.getfixturevalue("admin")
        return Item(admin, ROLES, admin.post(ROLES, json=AUDITOR).json["url"])
    device = request.getfixturevalue("device")
    if request.param == DEVICES:
        return Item(client, DEVICES, device["url"])
    beat = client.put(f"{PRESENCE}{device['id']}", json={"battery": 87})
    return Item(client, PRESENCE, beat.json["url"])
""",
            """    admin = request.getfixturevalue("admin")
    return Item(admin, ROLES, admin.post(ROLES, json=AUDITOR).json["url"])
""",
        ),
        ("A role, a device or its heartbeat, and how", "A role, and how"),
    ],
    "tests/background.py": [
        (
            """    files = {"MYAPP_IMPORTS_FOLDER": app.config["IMPORTS_FOLDER"]}
""",
            "",
        ),
        (
            "production(app, own, **files, **settings)",
            "production(app, own, **settings)",
        ),
    ],
    "tests/mutate_guards.py": [("FEWEST = 135", "FEWEST = 130")],
    "tests/test_run.py": [
        (
            'for name in ("myapp", "migrations", "data"):',
            'for name in ("myapp", "migrations"):',
        ),
    ],
    "tests/test_docs.py": [
        (
            """    assert schemas["TodoWrite"]["properties"]["done"]["default"] is False
""",
            """    assert schemas["RoleWrite"]["properties"]["default"]["default"] is False
""",
        ),
    ],
    "myapp/users/test_users.py": [
        ('["admin", "ADMIN", "manager"]', '["admin", "ADMIN"]'),
        ('"role", ["admin", "manager"]', '"role", ["admin"]'),
    ],
    "tests/slices.py": [
        (
            """f"{','.join(THERMOSTAT)}\\n{','.join(THERMOSTAT.values())}\\n",""",
            '"name\\nAnything\\n",',
        ),
    ],
    "tests/test_authorization.py": [
        (
            """        for path in ("devices/export", "devices/summary"):
            self.things[path] = self.things.get("devices/")
""",
            "",
        ),
        (
            """        if path == "devices/summary":
            counts = {response.json["total"], response.json["online"]}
            alike = [ids for ids in (set(everything), own) if counts == {len(ids)}]
            seen = alike[0] if alike else counts
        elif response.mimetype""",
            """        if response.mimetype""",
        ),
        ('if str(row) == "GET devices/")', 'if str(row) == "GET auth/sessions")'),
    ],
    "tests/test_sweeps.py": [
        ('    "audit.purge",\n', ""),
        ('    "presence.write_back",\n', ""),
        ("assert len(searches) >= 8", "assert len(searches) >= 5"),
    ],
    "docs/moving.md": [
        (
            "\n"
            "## What it costs\n"
            "\n"
            "`python bench/moving.py postgresql` (`sqlite`, `mariadb`): "
            "1,000,000 devices with all their\n"
            "indexes from SQLite, two cores that others kept busier still "
            "(load 10), the target's server among them.\n"
            "The copy's seconds take in the start of the command, the "
            "comparison's both sides. CPU and peak\n"
            "memory are the command's process.\n"
            "\n"
            "| To | Copied in s | Rows/s | Compared in s | s of CPU | Peak MB "
            "|\n"
            "|---|--:|--:|--:|--:|--:|\n"
            "| PostgreSQL | 166 | 6,017 | 45 | 41 | 166 |\n"
            "| SQLite | 185 | 5,409 | 46 | 69 | 166 |\n"
            "| MariaDB | 389 | 2,569 | 180 | 56 | 166 |\n"
            "\n"
            "Moving 4,516 devices takes the same 166 MB: it is the "
            "application, not the rows.\n"
            "\n"
            "Rows go in with `executemany`, the same on each database. Of "
            "50,000 rows into PostgreSQL\n"
            "without indexes that takes 0.70 s of CPU, SQLAlchemy's "
            "`insertmanyvalues` 4.60 and `COPY` 0.14:\n"
            "so `COPY` would spare a million rows 11 s of the 166, for a "
            "second way to write a row.\n",
            "",
        ),
        (
            "accounts and their sessions, the audit trail, the answers",
            "accounts and their sessions, the answers",
        ),
    ],
    "docs/deploy.md": [
        (
            "\n"
            "## How it was tried\n"
            "\n"
            "`make proof` boots a bare Debian as a container with a network "
            "of its own (systemd-nspawn; Linux and root), follows the "
            "README's\n"
            "chapter command by command, and then releases under load: "
            "clients over TLS who read, register devices with an "
            "`Idempotency-Key`, and\n"
            "send files; each serial number that was acknowledged is looked "
            "for at the end, and must be there once.\n"
            "\n"
            "On two cores that also made the load: a release took 35 to 40 "
            "seconds, most of it for building its environment, and a bad one "
            "was taken\n"
            "back 10 seconds after it came into service. In the long form, "
            "twelve minutes with ten good releases, seven bad ones and twenty "
            "kills of\n"
            "workers, no call failed in a release, and each acknowledged "
            "device was there, once; the short form makes about 40,000 "
            "calls.\n"
            "\n"
            "    make proof                          two good releases, five "
            "bad ones, five kills\n"
            "    DEPLOYS=10 KILLS=20 make proof      ten, seven, twenty\n"
            "    SUITE=noble make proof              the same on Ubuntu "
            "24.04\n",
            "",
        ),
        (
            "balancer. A file of devices must then be on a disk that all "
            "share\n"
            "(`MYAPP_IMPORTS_FOLDER`, and `ReadWritePaths=` in a drop-in).\n",
            "balancer.\n",
        ),
        (
            "what outlives a release: files of imports (and SQLite, where "
            "that is the database)",
            "what outlives a release: SQLite, where that is the database",
        ),
    ],
    "docs/backups.md": [
        (
            "Revision e8a15f3b6c20: 2 accounts, 4516 devices.",
            "Revision 0a5e1f0c7d21: 2 accounts.",
        ),
        (
            "alembic_version, audit, devices, idempotency, import_faults,\n"
            "imports, roles, sessions, todos, users. --replace",
            "alembic_version, idempotency, roles,\n" "sessions, users. --replace",
        ),
        (
            "who is online and the counts of rate limits come again by "
            "themselves.\n"
            "- Imports that wait or run, their tasks and their files "
            "(`IMPORTS_FOLDER`): upload them again.\n",
            "the counts of rate limits come again by themselves.\n",
        ),
    ],
    "myapp/api.py": [("as `devices/<int:device_id>`", "as `users/<int:user_id>`")],
    "myapp/checks.py": [
        (
            "    places = [current_app.instance_path, " 'config["IMPORTS_FOLDER"]]\n',
            "    places = [current_app.instance_path]\n",
        ),
        (
            '            mend = "give it to the account of the service, or '
            'set another folder: "\n'
            '            mend += f"INSTANCE_PATH, {PREFIX}IMPORTS_FOLDER"\n',
            '            mend = "give it to the account of the service, or '
            'set another INSTANCE_PATH"\n',
        ),
        (
            '        elif left < config["MAX_IMPORT_BYTES"]:\n'
            '            mend = f"make room there, or lower '
            '{PREFIX}MAX_IMPORT_BYTES"\n'
            '            yield advice(f"{told}; an import may be more", '
            "mend)\n",
            "",
        ),
        (
            '    body, file = config["MAX_CONTENT_LENGTH"], '
            'config["MAX_IMPORT_BYTES"]\n',
            "",
        ),
        (
            "    for name, size, nginx in zip(\n"
            '        ("MAX_CONTENT_LENGTH", "MAX_IMPORT_BYTES"), (body, '
            "file), map(int, sizes)\n"
            "    ):\n",
            '    for name, nginx in zip(("MAX_CONTENT_LENGTH",), map(int, '
            "sizes)):\n"
            "        size = config[name]\n",
        ),
        ('        ("PRESENCE_TTL", "no heartbeat can be taken"),\n', ""),
    ],
    "tests/test_scaffold.py": [(', "tests/test_readme.py"', "")],
}
TITLE = "An empty house"
# What the emptied project says of itself, and the command that prints it.
MADE = {"openapi.json": ["-m", "flask", "openapi"]}
