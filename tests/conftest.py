"""Before any test imports torch: its threads sleep while they wait, as in a run."""

from agents.quiet import wait_asleep

wait_asleep()
