"""Makes many first requests of one user at once, and prints the credential they got.

Says "ready" and begins when its input ends.

Usage: first_requests DATABASE_NAME USER_ID COUNT
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from uuid import UUID

import django
from django.conf import settings


async def main(user_id: UUID, count: int) -> None:
    # All need the settings below.
    from accounts.principals.principal import Principal, Scheme  # noqa: PLC0415 - as above
    from llm_proxy.client import connections  # noqa: PLC0415 - as above
    from llm_proxy.virtual_keys.grants import grant_for  # noqa: PLC0415 - as above

    principal = Principal(
        user_id=user_id, email="", is_anonymous=False, scheme=Scheme.SUPABASE, expires_at=math.inf
    )

    os.write(1, b"ready\n")
    sys.stdin.read()
    found = await asyncio.gather(*(grant_for(principal) for _ in range(count)))
    await connections.close()
    os.write(1, "\n".join(sorted({grant.authorization for grant in found})).encode())


settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
asyncio.run(main(UUID(sys.argv[2]), int(sys.argv[3])))
