"""The ledger's tables, and the version that a file must have to be written by this agent."""

SCHEMA_VERSION = 1

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
  nanos INTEGER NOT NULL,
  quantity INTEGER NOT NULL,
  PRIMARY KEY
    (hour, month, uuid, state, component, price_id, currency, team, model, method, filled)
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
  energy_at_ns INTEGER NOT NULL
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
  last_seen_wall_ns INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
"""
"""Money is in 1e-9 of the currency; quantity in nanoseconds, for the component energy in millijoules."""
