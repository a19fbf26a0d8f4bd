"""Many channels: cut into blocks, solved by workers, kept as they finish, and written in order by one writer.

    plan        how many workers, how many channels a block
    worker      what a worker does with a block
    journal     finished blocks beside the output, which a later run goes on from
    executors   here, in processes of this machine, or on a Dask cluster
    run         the loop between them

Knows neither options nor messages; what is solved, and how, is `recovery`'s.
"""

from __future__ import annotations
