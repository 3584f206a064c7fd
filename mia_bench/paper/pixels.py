"""Why D is there: both attacks without it (sections IV-A and IV-B), beside the attacks with it."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ..board.comparison import interval, percent
from ..records.record import Record

DESCRIPTIONS = {
    "wb": "white-box on the latent (Eq. 7)",
    "pixel": "white-box on the pixels (Eq. 5)",
    "bb": "black-box on the latent (Eq. 14, 15)",
    "bb-pixel": "black-box on the pixels (Eq. 14, M above their number)",
}
ATTACKS, COSTLY = ("wb", "pixel", "bb"), "bb-pixel"
COSTLY_STEPS = 45
"""Room for ``bb-pixel``, where a step takes more queries than there are pixels."""
TRIALS = 2
"""Of ``bb-pixel``, per identity."""


def costly_budget(image: tuple[int, int]) -> int:
    """Queries a trial for COSTLY_STEPS of ``bb-pixel`` on images of this height and width."""
    return COSTLY_STEPS * (image[0] * image[1] * 17 // 16 + 2)


def table(records: Sequence[Record]) -> Table:
    """Whom each attack convinces and what it costs."""
    found = Table(title=escape(f"With D and without, {records[0].protocol.name}"), title_justify="left")
    for column in ("attack", "what it does"):
        found.add_column(column)
    for column in ("trials", "R_tar convinced", "R_eval top-1 \\[95% CI]", "median queries"):
        found.add_column(column, justify="right")
    for record in records:
        accuracy, queries = record.attack_accuracy, record.queries
        if record.status != "ok" or not accuracy or not queries or record.target_success is None:
            continue
        found.add_row(
            escape(record.attack),
            DESCRIPTIONS[record.attack.partition(":")[0]],
            f"{record.identities * len(record.folds)} x {record.trials}",
            percent(record.target_success),
            escape(f"{percent(accuracy.top1)} {interval(*accuracy.ci95)}"),
            f"{queries.median:,.0f}",
        )
    return found
