"""Choices of the filters of leads: shops, stages and currencies that there are, read without a scan of the leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import sqlalchemy as sa

from etl_assets.leads.stage import STAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_CHOICES: Final = 1_000


class Choices(NamedTuple):
    """Choices of the filters."""

    shops: Sequence[tuple[int, str, str]]
    """Id, shown name and platform, by name."""
    stages: Sequence[str]
    """`STAGES`, then users' own words by name."""
    currencies: Sequence[str]


def read_choices(connection: sa.Connection) -> Choices:
    """Read the choices.

    Own stages are those that users have set here lately, and those that the statistics of the table name: stages that
    other programs have set are there from the next ANALYZE on.
    """
    shops = connection.execute(sa.text(_SHOPS), {"limit": MAX_CHOICES})
    own = set(connection.execute(sa.text(_STAGES)).scalars()) - set(STAGES)
    currencies = connection.execute(sa.text(_CURRENCIES)).scalars()
    return Choices([tuple(shop) for shop in shops], [*STAGES, *sorted(own)], list(currencies))


_SHOPS: Final = """
    SELECT shop_id, coalesce(shown_name, shop_name) AS shop, platform FROM shop_configs ORDER BY 2, 3 LIMIT :limit
"""
_IN_STATISTICS: Final = """
    SELECT unnest(CAST(CAST(most_common_vals AS text) AS text[])) FROM pg_stats
    WHERE schemaname = current_schema() AND tablename = 'business_leads' AND attname = '{column}'
"""
_STAGES: Final = f"""
    {_IN_STATISTICS.format(column="current_stage")}
    UNION SELECT stage FROM (
        SELECT after ->> 'current_stage' AS stage FROM user_actions WHERE lead_id IS NOT NULL
        ORDER BY action_id DESC LIMIT 1000
    ) lately
"""  # noqa: S608  # constants only
_CURRENCIES: Final = f"""
    {_IN_STATISTICS.format(column="currency")}
    UNION SELECT coalesce(default_currency, currency) FROM shop_configs
    WHERE coalesce(default_currency, currency) IS NOT NULL
    ORDER BY 1 LIMIT 50
"""  # noqa: S608  # as above
