from __future__ import annotations

from django.apps import AppConfig


class LLMProxyConfig(AppConfig):
    """The app, and what it registers."""

    name = "llm_proxy"
    verbose_name = "Models and keys"

    def ready(self) -> None:
        """Let Django find the system checks, and ``proving`` what proves keys and secrets."""
        from accounts import holdings  # noqa: PLC0415 - models must be loaded first
        from accounts.plans import services as plans  # noqa: PLC0415 - models must be loaded first
        from accounts.principals import proving  # noqa: PLC0415 - models must be loaded first
        from gateway_core import encrypted  # noqa: PLC0415 - models must be loaded first
        from gateway_core.audit import projections  # noqa: PLC0415 - models must be loaded first
        from gateway_core.jobs import services as jobs  # noqa: PLC0415 - models must be loaded first
        from llm_proxy import checks  # noqa: F401, PLC0415 - models must be loaded first
        from llm_proxy.agent_proxy import prover as agent  # noqa: PLC0415 - likewise
        from llm_proxy.agent_proxy import secrets as agent_secrets  # noqa: PLC0415 - likewise
        from llm_proxy.api_keys import prover, secret  # noqa: PLC0415 - models must be loaded first
        from llm_proxy.holdings import HOLDER  # noqa: PLC0415 - models must be loaded first
        from llm_proxy.usage import projection  # noqa: PLC0415 - models must be loaded first
        from llm_proxy.virtual_keys import plan_changes  # noqa: PLC0415 - models must be loaded first
        from llm_proxy.virtual_keys import services as keys  # noqa: PLC0415 - likewise
        from llm_proxy.virtual_keys.models import VirtualKey, row_of  # noqa: PLC0415 - likewise

        plans.when_plan_changes.append(plan_changes.tell_of_plan)
        plans.when_user_changes.append(keys.tell_of_user)
        jobs.register(plan_changes.KIND, plan_changes.work)
        holdings.register(HOLDER)
        encrypted.register(
            encrypted.EncryptedColumn(
                name="virtual keys", model=VirtualKey, column="encrypted_value", bound_to=row_of
            )
        )
        projections.register(projection.project)
        proving.register_prover(secret.PREFIX.encode(), prover.prove)
        proving.register_prover(agent_secrets.PREFIX.encode(), agent.prove)
