"""The tables, numbered; every statement that makes or changes one is here."""

__all__ = [
    "APPLICATION_ID",
    "CACHE_LIMIT",
    "INLINE_LIMIT",
    "INPUT_LIMIT",
    "MIGRATIONS",
    "SCHEMA",
    "VALUE_ENCODING",
    "VALUE_LIMIT",
]

#: "FLJO", in the file's header: a database that lacks it belongs to another program.
APPLICATION_ID = 0x464C4A4F

#: Values of up to this many bytes stand in their row, larger ones in `blob`.
INLINE_LIMIT = 64 * 1024

#: The most bytes of a result, a context change or an output.
VALUE_LIMIT = 16 * 1024 * 1024

#: The most bytes of a run's input and of its first context.
INPUT_LIMIT = 64 * 1024 * 1024

#: The most bytes of all cached results together.
CACHE_LIMIT = 256 * 1024 * 1024

#: How values are written down. Another number would mean a codec that this version doesn't know.
VALUE_ENCODING = 1

_FIRST = (
    "PRAGMA application_id = 1179404879",
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "INSERT INTO meta(key, value) VALUES ('min_reader', '1')",
    "CREATE TABLE definition(hash BLOB PRIMARY KEY, document TEXT NOT NULL) STRICT",
    # AUTOINCREMENT: the number of a deleted run must never adopt records that were left behind.
    # `wid` is the random id of the newest write to the row: it settles whether a failed commit took place.
    # Times are floats, as they are handed in: milliseconds would not read back equal.
    """
    CREATE TABLE run(
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      run_id TEXT NOT NULL UNIQUE,
      pipeline TEXT NOT NULL, version TEXT NOT NULL, def_hash BLOB NOT NULL, source TEXT NOT NULL,
      status INT NOT NULL, epoch INT NOT NULL, owner TEXT, wid BLOB NOT NULL,
      enc INT NOT NULL,
      input BLOB, input_blob BLOB, base BLOB, base_blob BLOB, output BLOB, output_blob BLOB,
      error TEXT, tags TEXT NOT NULL,
      created_at REAL NOT NULL, updated_at REAL NOT NULL, ended_at REAL) STRICT
    """,
    # `id` is the order of writing, and not AUTOINCREMENT, which would write a second table for each record.
    # `fp` is the fingerprint of the step, `cost` exact decimal text in US dollars, `durable` 1 for FULL.
    """
    CREATE TABLE journal(
      id INTEGER PRIMARY KEY,
      run INT NOT NULL, path TEXT NOT NULL, kind INT NOT NULL, attempt INT NOT NULL,
      epoch INT NOT NULL, wid BLOB NOT NULL, fp BLOB NOT NULL, durable INT NOT NULL,
      enc INT NOT NULL,
      out BLOB, out_blob BLOB, delta BLOB, delta_blob BLOB,
      error TEXT, fallback TEXT,
      calls INT NOT NULL, tok_in INT NOT NULL, tok_out INT NOT NULL, cost TEXT,
      started_at REAL NOT NULL, ended_at REAL NOT NULL,
      UNIQUE(run, path)) STRICT
    """,
    "CREATE TABLE blob(hash BLOB PRIMARY KEY, size INT NOT NULL, data BLOB NOT NULL) STRICT",
    "PRAGMA user_version = 1",
)

# Cached results stand whole in their row: an entry that goes leaves nothing behind. `used` counts up with every use;
# the indexes find the newest entry of a step (by the rowid that ends them), and what was not used for longest.
_CACHE = (
    """
    CREATE TABLE cache(
      key BLOB PRIMARY KEY,
      scope TEXT NOT NULL, enc INT NOT NULL,
      value BLOB NOT NULL, delta BLOB, parts TEXT NOT NULL,
      created_at REAL NOT NULL, used INT NOT NULL, size INT NOT NULL) STRICT
    """,
    "CREATE INDEX cache_scope ON cache(scope)",
    "CREATE INDEX cache_used ON cache(used, size, key)",
    "PRAGMA user_version = 2",
)

# `key` is the caller's name for a run, `files` the hash of the texts its pipeline was loaded from (in `blob`, as JSON),
# `claims` counts claims that recorded nothing, `cancel` is 1 when the owner was asked to stop. The indexes find open
# questions, what may be forgotten, and who else names a definition or a blob. All of it can be left out by a reader.
_OWED = (
    "ALTER TABLE run ADD COLUMN key TEXT",
    "ALTER TABLE run ADD COLUMN files BLOB",
    "ALTER TABLE run ADD COLUMN claims INT NOT NULL DEFAULT 0",
    "ALTER TABLE run ADD COLUMN cancel INT NOT NULL DEFAULT 0",
    "CREATE UNIQUE INDEX run_key ON run(key) WHERE key IS NOT NULL",
    "CREATE INDEX run_open ON run(id) WHERE status NOT IN (3, 5)",
    "CREATE INDEX run_ended ON run(ended_at) WHERE status IN (3, 4, 5)",
    "CREATE INDEX run_created ON run(created_at)",
    "CREATE INDEX run_definition ON run(def_hash)",
    "CREATE INDEX run_files ON run(files) WHERE files IS NOT NULL",
    "CREATE INDEX run_input ON run(input_blob) WHERE input_blob IS NOT NULL",
    "CREATE INDEX run_base ON run(base_blob) WHERE base_blob IS NOT NULL",
    "CREATE INDEX run_output ON run(output_blob) WHERE output_blob IS NOT NULL",
    "CREATE INDEX journal_out ON journal(out_blob) WHERE out_blob IS NOT NULL",
    "CREATE INDEX journal_delta ON journal(delta_blob) WHERE delta_blob IS NOT NULL",
    "CREATE INDEX journal_wait ON journal(run, path) WHERE kind = 3",
    "PRAGMA user_version = 3",
)

#: Step n brings a file from schema n to n + 1. Steps are added, never changed.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _CACHE, _OWED)

#: The schema this version writes.
SCHEMA = len(MIGRATIONS)
