"""The ledger's tables, and the version that a file must have to be written by this agent."""

SCHEMA_VERSION = 2

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE entry (
  hour INTEGER NOT NULL,
  month TEXT NOT NULL,
  uuid TEXT NOT NULL,
  state TEXT NOT NULL,
  component TEXT NOT NULL,
  price_id TEXT NOT NULL,
  currency TEXT NOT NULL,
  team TEXT NOT NULL,
  model TEXT NOT NULL,
  method TEXT NOT NULL,
  filled INTEGER NOT NULL,
  exempt TEXT NOT NULL,      -- name of the idle exemption, or empty
  correction INTEGER NOT NULL, -- 0: as it happened; else the correction that added the row
  nanos INTEGER NOT NULL,
  quantity INTEGER NOT NULL,
  PRIMARY KEY
    (hour, month, uuid, state, component, price_id, currency, team, model, method, filled,
     exempt, correction)
) WITHOUT ROWID, STRICT;
CREATE INDEX entry_month ON entry (month);
CREATE TABLE checkpoint (
  uuid TEXT PRIMARY KEY,
  model TEXT NOT NULL,
  boottime_ns INTEGER NOT NULL,
  wall_ns INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  machine_id TEXT NOT NULL,
  energy_mj TEXT,            -- the driver's counter is unsigned, SQLite's integers are not
  energy_at_ns INTEGER NOT NULL,
  trusted INTEGER NOT NULL DEFAULT 1 -- whether a synchronised clock vouches for wall_ns
) WITHOUT ROWID, STRICT;
CREATE TABLE remainder (
  uuid TEXT NOT NULL,
  component TEXT NOT NULL,
  price_id TEXT NOT NULL,
  remainder TEXT NOT NULL,   -- exact integers, larger than SQLite's
  denominator TEXT NOT NULL,
  PRIMARY KEY (uuid, component, price_id)
) WITHOUT ROWID, STRICT;
CREATE TABLE gpu (
  uuid TEXT PRIMARY KEY,
  idx INTEGER NOT NULL,
  model TEXT NOT NULL,
  pci_bus_id TEXT NOT NULL,
  last_seen_wall_ns INTEGER NOT NULL,
  memory_total_bytes INTEGER,
  mig_profiles TEXT NOT NULL DEFAULT '', -- of its instances, with commas between
  gone INTEGER NOT NULL DEFAULT 0        -- 1: not expected any more; what it was is kept for its rows
) WITHOUT ROWID, STRICT;
CREATE TABLE price_record (
  id TEXT NOT NULL,
  digest TEXT NOT NULL,
  record TEXT NOT NULL,      -- the operator's record as JSON, as it was when first used
  first_used_wall_ns INTEGER NOT NULL,
  PRIMARY KEY (id, digest)
) WITHOUT ROWID, STRICT;
CREATE TABLE correction (
  number INTEGER PRIMARY KEY,
  at_wall_ns INTEGER NOT NULL,
  reason TEXT NOT NULL
) STRICT;
CREATE TABLE ahead (
  month TEXT NOT NULL,
  team TEXT NOT NULL,
  currency TEXT NOT NULL,
  nanos TEXT NOT NULL,       -- what the rest of the month costs by the clock, from at_wall_ns on
  at_wall_ns INTEGER NOT NULL,
  PRIMARY KEY (month, team, currency)
) WITHOUT ROWID, STRICT;
CREATE TABLE gap (           -- time before a checkpoint that is not booked yet
  uuid TEXT NOT NULL,
  number INTEGER NOT NULL,   -- in the order of time
  start_boot_id TEXT NOT NULL,
  start_boottime_ns INTEGER NOT NULL,
  start_wall_ns INTEGER NOT NULL,
  start_trusted INTEGER NOT NULL,
  end_boot_id TEXT NOT NULL,
  end_boottime_ns INTEGER NOT NULL,
  end_wall_ns INTEGER NOT NULL,
  end_trusted INTEGER NOT NULL,
  PRIMARY KEY (uuid, number)
) WITHOUT ROWID, STRICT;
CREATE TABLE former_gpu (
  uuid TEXT NOT NULL,
  until_wall_ns INTEGER NOT NULL,  -- it looked like this until then at the latest,
  next_wall_ns INTEGER NOT NULL,   -- and like what came after it from then at the earliest
  memory_total_bytes INTEGER,
  mig_profiles TEXT NOT NULL,
  PRIMARY KEY (uuid, until_wall_ns)
) WITHOUT ROWID, STRICT;
CREATE TABLE retired (uuid TEXT PRIMARY KEY, at_wall_ns INTEGER NOT NULL) WITHOUT ROWID, STRICT;
"""
"""Money is in 1e-9 of the currency; quantity in nanoseconds, for the component energy in millijoules."""

_WORK_TABLES = TABLES[TABLES.index("CREATE TABLE price_record") :]
_ENTRY = TABLES[TABLES.index("CREATE TABLE entry (") : TABLES.index("CREATE INDEX")]

_COPY_ENTRIES = """
INSERT INTO entry SELECT hour, month, uuid, state, component, price_id, currency, team, model, method,
  filled, '', 0, nanos, quantity FROM entry_before;
DROP TABLE entry_before;
CREATE INDEX entry_month ON entry (month);
ALTER TABLE gpu ADD COLUMN memory_total_bytes INTEGER;
ALTER TABLE checkpoint ADD COLUMN trusted INTEGER NOT NULL DEFAULT 1;
ALTER TABLE gpu ADD COLUMN mig_profiles TEXT NOT NULL DEFAULT '';
ALTER TABLE gpu ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
"""

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (
        "DROP INDEX entry_month;\nALTER TABLE entry RENAME TO entry_before;\n",
        _ENTRY,
        _COPY_ENTRIES,
        _WORK_TABLES,
    ),
}
"""From a schema version to the next: exemptions, corrections, price records, what cards were, cost ahead,
open gaps."""


def statements(script: str) -> list[str]:
    """The statements of a script, one by one: ``executescript`` would end the transaction."""
    return [statement for statement in script.split(";\n") if statement.strip()]
