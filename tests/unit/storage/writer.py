"""A process that writes a ledger until it is killed: one batch of ten equal rows after the other.

It prints a line after each batch that is written, so that whoever kills it knows what must be there.
"""

import sys
from itertools import count
from pathlib import Path

from agent.ledger.batch import Batch
from agent.ledger.fill import Checkpoint
from agent.samples.instant import Instant
from agent.storage.ledger import SqliteLedger
from tests.builders import CARD, MODEL, a_key

ROWS = 10


def batch(number: int) -> Batch:
    return Batch(
        rows={a_key(hour=hour): (1, 1) for hour in range(ROWS)},
        checkpoints=[
            Checkpoint(
                uuid=CARD,
                model=MODEL,
                until=Instant(number, number),
                boot_id="boot",
                machine_id="machine",
                energy_mj=number,
            )
        ],
        remainders={(CARD, "rental", "rented"): (number, 10**30)},
        gpus=[],
    )


def main() -> None:
    directory = Path(sys.argv[1])
    store = SqliteLedger(directory, source="simulated")
    start = max((point.until.wall_ns for point in store.recover().checkpoints.values()), default=0)
    for number in count(start + 1):
        store.write(batch(number))
        print(number, flush=True)


if __name__ == "__main__":
    main()
